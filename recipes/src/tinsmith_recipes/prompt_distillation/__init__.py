"""Prompt distillation: a model learns to do without its instructions what it does with them."""
