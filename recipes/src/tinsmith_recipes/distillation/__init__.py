"""Distillation: what one model can do, another learns from it."""
