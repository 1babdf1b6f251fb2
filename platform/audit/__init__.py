"""Who did what: an append-only table."""
