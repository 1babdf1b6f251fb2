"""Saved weights: their addresses, their files, who may load them."""
