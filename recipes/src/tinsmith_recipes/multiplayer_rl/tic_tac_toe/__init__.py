"""Tic-tac-toe: against a fixed player, or against itself."""
