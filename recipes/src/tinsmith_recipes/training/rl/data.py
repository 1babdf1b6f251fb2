"""Episodes as the losses take them: tokens, and what each sampled one was worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinsmith import Datum
from tinsmith.losses import LOSSES
from tinsmith_recipes.training.rl.policy import Array, Sampled


@dataclass
class Stretch:
    """Turns of an episode of which each goes on where the last ended, as one sequence.

    Attributes:
        tokens: [N] token ids.
        logprobs: [N] of each sampled token under the model that sampled it; 0 elsewhere.
        sampled: [N] whether a token was sampled.
        advantages: [N] what each sampled token is worth; 0 elsewhere.
    """

    tokens: list[int]
    logprobs: Array
    sampled: Array
    advantages: Array

    def datum(self, loss_fn: str) -> Datum:
        """N - 1 positions, each predicting the next token, with the inputs of a loss."""
        inputs = {"logprobs": self.logprobs[1:], "advantages": self.advantages[1:]}
        if "sequence_ratio_mask" in LOSSES[loss_fn].inputs:
            inputs["sequence_ratio_mask"] = self.sampled[1:]
        arrays = {name: array.astype(np.float32) for name, array in inputs.items()}
        return Datum.from_tokens(self.tokens, **arrays)


def stretches(turns: Sequence[Sampled], advantage: float = 0.0) -> list[Stretch]:
    """The turns of an episode as few sequences as they allow.

    A turn whose prompt begins with all that was there before goes on with that sequence; where the
    chat was rewritten in between (thinking dropped, say), it begins another.
    """
    found: list[tuple[list[int], list[float], list[bool]]] = []
    for turn in turns:
        if found and turn.prompt[: len(found[-1][0])] == found[-1][0]:
            tokens, logprobs, sampled = found[-1]
        else:
            tokens, logprobs, sampled = [], [], []
            found.append((tokens, logprobs, sampled))
        given = turn.prompt[len(tokens) :]
        tokens += [*given, *turn.tokens]
        logprobs += [*([0.0] * len(given)), *turn.logprobs.tolist()]
        sampled += [*([False] * len(given)), *([True] * len(turn.tokens))]
    return [
        Stretch(
            tokens, np.array(logprobs), np.array(sampled), np.where(np.array(sampled), advantage, 0)
        )
        for tokens, logprobs, sampled in found
        if len(tokens) > 1
    ]
