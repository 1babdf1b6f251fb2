"""The losses that the server computes: what each needs, accepts and reports.

The server checks requests by these declarations, the SDK cuts batches by them, documentation and
tests are held against them. Formulas are the engine's. Importing this imports no numpy.
"""

from tinsmith.losses.declarations import LOSSES, SCORE_TOKENS, Loss, Setting

__all__ = ["LOSSES", "SCORE_TOKENS", "Loss", "Setting"]
