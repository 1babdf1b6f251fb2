"""The environment: a prompt is answered, and the reward model says how good that is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tinsmith import ModelInput, SamplingClient
from tinsmith.renderers import Ending
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy


@dataclass(frozen=True)
class Judged(Environment):
    """One prompt.

    Attributes:
        prompt: its tokens.
        judge: the reward model.
        unfinished_cost: what an answer pays that is cut off; nobody compared such answers.
        liking: the true preference where it is known, of an answer's text: it is shown, and no
            reward.
    """

    prompt: tuple[int, ...]
    judge: SamplingClient
    unfinished_cost: float
    liking: Callable[[str], float] | None = None

    async def play(self, policy: Policy) -> Outcome:
        """Answer once."""
        prompt = ModelInput.from_ints(self.prompt)
        sampled = await policy.sample(prompt, stop=policy.renderer.stop)
        score = await self.judge.score(prompt, sampled.tokens)
        parsed = policy.renderer.parse(sampled.tokens)
        is_whole = parsed.ending is not Ending.CUT_OFF
        parts = {"score": score, "finished": float(is_whole)}
        if self.liking is not None:
            parts["liking"] = float(self.liking(said(parsed)))
        return Outcome(score if is_whole else score - self.unfinished_cost, parts)
