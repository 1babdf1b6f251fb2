"""Tinsmith's Python client: write the training loop, the server does the heavy part."""

__version__ = "0.1.0"
