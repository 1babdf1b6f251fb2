"""Sessions, training runs and samplers: what a client's process owns while it works."""
