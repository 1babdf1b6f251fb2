"""Reinforcement learning on programs: what a model writes is run in a sandbox and tested."""
