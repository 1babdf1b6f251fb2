"""What the wire protocol's description says of its routes, beyond the code that serves them."""
