"""On-policy distillation: the student speaks, and the teacher says how likely each token was.

Every sampled token is worth ``-coefficient * (log p_student - log p_teacher)``: what the teacher
finds likelier than the student does becomes likelier. The mean of those differences,
``teacher_kl``, estimates the KL divergence of the student from the teacher, on the student's own
text. Less the batch's mean, which changes no expectation, gradients are a good deal steadier: a
student far from its teacher would else make all that it says less likely.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinsmith import ModelInput
from tinsmith_recipes.training.distillation.teacher import Message, Teacher, check_same_tokens
from tinsmith_recipes.training.loop import Metrics
from tinsmith_recipes.training.rl import Environment, Episode, Outcome, Policy
from tinsmith_recipes.training.rl.data import Stretch, stretches
from tinsmith_recipes.training.rl.policy import Array
from tinsmith_recipes.training.run import Run

AT_ONCE = 256


@dataclass(frozen=True)
class Ask(Environment):
    """One question. It earns nothing: what is learnt comes from the teacher.

    Attributes:
        question: the chat up to the answer.
        teacher: who judges the answer.
    """

    question: tuple[Message, ...]
    teacher: Teacher
    tags: tuple[str, ...] = ()

    async def play(self, policy: Policy) -> Outcome:
        """Ask once."""
        await policy(self.question)
        return Outcome(0.0)


class Guidance:
    """What teachers say of what a student says; its ``adjust`` is for ``train_rl``.

    Args:
        run: the student's.
        coefficient: what a nat of difference is worth.
        is_centred: whether the batch's mean difference is subtracted.

    Which teacher judges a sequence, and after which prompt, is known by the student's prompt:
    ``ask`` remembers it.
    """

    def __init__(self, run: Run, coefficient: float = 1.0, *, is_centred: bool = True) -> None:
        self.run, self.coefficient, self.is_centred = run, coefficient, is_centred
        self._judges: dict[tuple[int, ...], tuple[Teacher, list[int]]] = {}
        self._fitting: set[str] = set()
        self._slots = asyncio.Semaphore(AT_ONCE)

    def ask(self, question: Sequence[Message], teacher: Teacher, tags: tuple[str, ...] = ()) -> Ask:
        """A question as an environment.

        Raises:
            ValueError: teacher and student have different tokenizers.
        """
        if teacher.name not in self._fitting:
            check_same_tokens(self.run, teacher)
            self._fitting.add(teacher.name)
        ours = tuple(self.run.renderer.prompt(question).to_ints())
        theirs = teacher.renderer.prompt(teacher.chat(question)).to_ints()
        self._judges[ours] = teacher, theirs
        return Ask(tuple(question), teacher, tags)

    async def adjust(self, batch: Sequence[Stretch]) -> Metrics:
        """Change the advantages of a batch in place; gives ``teacher_kl``."""
        judged = await asyncio.gather(*(self._judged(one) for one in batch))
        return guide(batch, judged, self.coefficient, is_centred=self.is_centred)

    async def distances(self, episodes: Sequence[Episode]) -> list[float]:
        """How far the student is from its teacher in each episode: nats a token, ``teacher_kl``."""
        batch = [stretch for one in episodes for stretch in stretches(one.turns)]
        judged = await asyncio.gather(*(self._judged(one) for one in batch))
        return [
            guide([one], [theirs], 0.0)["teacher_kl"]
            for one, theirs in zip(batch, judged, strict=True)
        ]

    async def _judged(self, one: Stretch) -> Array:
        """[N]: the teacher's logprob of every sampled token; 0 elsewhere."""
        begin = int(np.argmax(one.sampled))
        teacher, prompt = self._judges[tuple(one.tokens[:begin])]
        said = one.tokens[begin:]
        async with self._slots:
            found = await teacher.sampler.compute_logprobs(
                ModelInput.from_ints([*prompt, *said]), len(said)
            )
        return np.array([0.0] * begin + [float(one or 0.0) for one in found[-len(said) :]])


def guide(
    batch: Sequence[Stretch],
    judged: Sequence[Array],
    coefficient: float,
    *,
    is_centred: bool = False,
) -> Metrics:
    """Add what a teacher's logprobs, [N] a sequence, make of every sampled token."""
    gaps = [
        np.where(one.sampled, one.logprobs - theirs, 0.0)
        for one, theirs in zip(batch, judged, strict=True)
    ]
    count = sum(int(one.sampled.sum()) for one in batch)
    middle = sum(float(gap.sum()) for gap in gaps) / max(count, 1)
    for one, gap in zip(batch, gaps, strict=True):
        worth = gap - middle if is_centred else gap
        one.advantages = one.advantages - coefficient * np.where(one.sampled, worth, 0.0)
    return {"teacher_kl": middle}
