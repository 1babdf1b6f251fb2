"""Teaches a base model Pig Latin with supervised examples: the smallest recipe there is."""
