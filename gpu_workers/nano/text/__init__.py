"""The text that the nano models learn from: all of it is generated here from a seed."""
