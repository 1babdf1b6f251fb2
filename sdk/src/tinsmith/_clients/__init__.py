"""The clients that people use, under the names that `tinsmith` gives them."""
