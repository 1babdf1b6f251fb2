"""Reinforcement learning from preferences, in three stages."""
