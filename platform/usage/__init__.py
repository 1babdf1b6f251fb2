"""What teams have used: an append-only ledger."""
