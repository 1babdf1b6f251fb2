"""Reinforcement learning on environments that others have made."""
