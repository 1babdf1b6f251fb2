"""What a run should tell its user, in words, once."""

from __future__ import annotations

from tinsmith_recipes.training.run import Run

HELD_OUT = "test/nll"
RISEN = 1.02


def held_out_loss(run: Run, now: float) -> None:
    """Advise where the held-out loss rises: twice in a row above its best, by two in a hundred.

    Args:
        run: its rows of ``test/nll`` are the losses before this one.
        now: the loss as it is.
    """
    before = [(row[HELD_OUT], row["step"]) for row in run.folder.metrics if HELD_OUT in row]
    if len(before) < 2:
        return
    best, step = min(before)
    if min(now, before[-1][0]) > RISEN * best:
        run.advise(
            f"the held-out loss has risen since step {step}, where it was {best:.3f}: what is "
            f"learnt now is the chats by heart. Take about steps={max(step, 1)}, a lower "
            "learning_rate, or more data"
        )
