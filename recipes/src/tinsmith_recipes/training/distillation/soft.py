"""Soft targets: at every position the teacher's likeliest tokens, each with its probability.

One answer shows one token a position; a teacher's probabilities show what else it might have said.
Only the K likeliest are kept. What the others have together, the tail, is left out: a position's
weights are either the K probabilities as they are, so that a position the teacher is unsure of
counts less, or divided by their sum, so that all count alike. Either way the student is best when
it has the K in the teacher's proportions and nothing beyond them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinsmith import Datum, ModelInput, SamplingParams, TensorData
from tinsmith_recipes.training.asking import AT_ONCE
from tinsmith_recipes.training.distillation.teacher import Message, Teacher, check_same_tokens
from tinsmith_recipes.training.run import Run
from tinsmith_recipes.training.supervised import Weighed

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Lesson:
    """A chat for both: tokens [N] that the student reads, those that the teacher reads [M], and
    where in either the tokens stand that are learnt, [L] each."""

    tokens: list[int]
    places: list[int]
    asked: list[int]
    asked_places: list[int]


class SoftTargets:
    """Turns chats that end with an answer into what a step trains on.

    Args:
        run: the student's.
        teacher: whose probabilities are learnt.
        count: K, how many tokens a position.
        renormalise: whether a position's weights add up to 1, or to what the K have together.
        reduction: ``mean`` divides by the number of positions, ``sum`` does not.

    Raises:
        ValueError: student and teacher have different tokenizers.
    """

    def __init__(
        self, run: Run, teacher: Teacher, count: int, *, renormalise: bool, reduction: str
    ) -> None:
        check_same_tokens(run, teacher)
        self.run, self.teacher, self.count = run, teacher, count
        self.renormalise, self.reduction = renormalise, reduction
        self._slots = asyncio.Semaphore(AT_ONCE)

    def lesson(self, messages: Sequence[Message]) -> Lesson:
        """A chat that ends with an answer, as either reads it.

        Raises:
            ValueError: the answer is written in other tokens for the teacher.
        """
        ours = self.run.renderer.example(messages)
        theirs = self.teacher.renderer.example(self.teacher.chat(messages))
        places, asked_places = (np.flatnonzero(one.weights).tolist() for one in (ours, theirs))
        if [ours.tokens[i] for i in places] != [theirs.tokens[i] for i in asked_places]:
            raise ValueError(
                f"{self.teacher.name} writes an answer in other tokens than the student (renderers "
                f"{self.teacher.renderer.name} and {self.run.renderer.name}), so its probabilities "
                "do not fit; use soft_targets=0"
            )
        return Lesson(ours.tokens, places, theirs.tokens, asked_places)

    async def ready(self, chats: Sequence[Sequence[Message]]) -> list[Weighed]:
        """What the teacher finds likely in each chat's answer, as a step trains on it."""
        lessons = [self.lesson(chat) for chat in chats]
        return list(await asyncio.gather(*(self._weighed(lesson) for lesson in lessons)))

    async def _weighed(self, lesson: Lesson) -> Weighed:
        async with self._slots:
            answer = await self.teacher.sampler.sample(
                ModelInput.from_ints(lesson.asked),
                1,
                SamplingParams(max_tokens=1, temperature=0.0),
                topk_prompt_logprobs=self.count,
            )
        top = answer.topk_prompt_logprobs_np
        assert top is not None
        probabilities = np.exp(top.logprobs[lesson.asked_places].astype(np.float64))
        if self.renormalise:
            probabilities /= probabilities.sum(-1, keepdims=True)
        if self.reduction == "mean":
            probabilities /= len(lesson.places)
        datum = soft_datum(
            lesson.tokens, lesson.places, top.token_ids[lesson.asked_places], probabilities
        )
        return Weighed(datum, len(lesson.places))


def soft_datum(
    tokens: Sequence[int],
    places: Sequence[int],
    targets: Array,
    weights: Array,
    *,
    sparse: bool = True,
) -> Datum:
    """A datum for ``cross_entropy`` with K targets a position.

    Args:
        tokens: [N + 1] the whole sequence.
        places: [L] which of its tokens have targets, rising, none of them the first.
        targets, weights: [L, K] token ids, and the weight of each.
        sparse: send only those L rows; else all N, zeros where there is nothing to learn.

    Raises:
        ValueError: shapes that do not fit each other; a place outside of the sequence.
    """
    count = len(tokens) - 1
    rows = np.asarray(places) - 1
    if targets.shape != weights.shape or targets.ndim != 2 or len(targets) != len(rows):
        raise ValueError(
            f"targets {targets.shape} and weights {weights.shape} must be [{len(rows)}, K]"
        )
    if len(rows) and (rows.min() < 0 or rows.max() >= count or (np.diff(rows) <= 0).any()):
        raise ValueError(f"places must rise from 1 to {count}, not {list(places)}")

    def table(values: Array, dtype: Any) -> TensorData:
        full = (count, values.shape[1])
        if not sparse:
            dense = np.zeros(full, dtype)
            dense[rows] = values
            return TensorData.from_numpy(dense)
        width = values.shape[1]
        ends = np.cumsum(np.bincount(rows, minlength=count) * width)
        return TensorData(
            values.astype(dtype).ravel(),
            shape=full,
            sparse_crow_indices=[0, *ends.tolist()],
            sparse_col_indices=list(range(width)) * len(rows),
        )

    inputs = {"target_tokens": table(targets, np.int64), "weights": table(weights, np.float32)}
    return Datum(ModelInput.from_ints(list(tokens[:-1])), inputs)
