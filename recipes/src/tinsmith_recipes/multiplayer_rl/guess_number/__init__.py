"""Guess the number: higher, lower, right."""
