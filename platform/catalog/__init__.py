"""Base models on offer and what they may do."""
