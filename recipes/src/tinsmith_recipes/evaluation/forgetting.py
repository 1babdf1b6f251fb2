"""What a model can do no longer since it was tuned: general tasks, before and after."""

from __future__ import annotations

from tinsmith import SamplingClient
from tinsmith_recipes.evaluation.examining import Scores, examine
from tinsmith_recipes.evaluation.general import general
from tinsmith_recipes.evaluation.measures import share_difference
from tinsmith_recipes.training.figures import Figure
from tinsmith_recipes.training.run import Run

LONGEST_ANSWER = 32


async def general_scores(run: Run, sampler: SamplingClient, count: int) -> Scores:
    """What a model says to ``count`` general tasks, the same whenever it is asked."""
    chats = general(count, run.seed("general"))
    return await examine(sampler, run.renderer, chats, max_tokens=LONGEST_ANSWER)


def forgetting(run: Run, was: Scores, now: Scores) -> dict[str, Figure]:
    """Exact match on general tasks before and after; advises where it fell for sure."""
    found = {
        "general_before": was.figures()["exact_match"],
        "general": now.figures()["exact_match"],
    }
    lost = share_difference(now.hits, was.hits)
    if lost.is_sure and lost.value < 0:
        run.advise(
            f"forgetting: of general tasks the model did {found['general_before'].value:.0%} "
            f"before and does {found['general'].value:.0%} now. A lower learning_rate, fewer "
            "steps, or chats of other kinds among the data keep more of what it knew"
        )
    return found
