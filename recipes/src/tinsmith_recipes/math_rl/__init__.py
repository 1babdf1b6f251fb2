"""Reinforcement learning on mathematics: sums for the nano models, GSM8K and MATH for others."""
