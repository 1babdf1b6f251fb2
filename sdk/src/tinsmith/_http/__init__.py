"""Talking HTTP to one server, and what can be wrong about that."""
