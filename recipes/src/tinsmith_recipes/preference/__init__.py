"""Recipes that learn what people prefer, from pairs of answers."""
