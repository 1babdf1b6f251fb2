"""Off-policy distillation: a teacher answers, or has answered, and the student learns from that."""

from __future__ import annotations

from typing import ClassVar

import chz

from tinsmith_recipes.distillation.exercises import TEACHER_BATCH, TOKENS_EACH, exercises, taught
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.distillation import (
    LessonSettings,
    Teacher,
    check_same_tokens,
    gap_closed,
    learn_data,
    learn_exercises,
    open_teacher,
)


@chz.chz
class OffPolicy(LessonSettings):
    """A student learns a teacher's answers, or its probabilities."""

    name: ClassVar[str] = "distillation.off_policy"
    summary: ClassVar[str] = "A student learns from a teacher's answers, or from its probabilities."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("gap", least=0.3),
        Goal("gap_closed", least=0.8),
    )

    warmup: int = setting(10, "Steps in which the rate rises to its peak.", least=0)
    temperature: float = setting(
        0.5,
        "Of the teacher's sampling: below 1 what it is unsure of is wrong less often, and its "
        "answers still differ.",
        least=0,
        most=10,
    )
    teacher: str | None = setting(
        None,
        "A base model, or the tinker:// address of a sampler checkpoint, that answers; by default "
        "one that a first stage trains on exercises, or whoever has answered in the data.",
    )
    teacher_steps: int = setting(100, "Steps of the first stage that trains the teacher.", least=1)
    asked: int = setting(
        2000, "Exercises that the teacher answers; the student sees no right answer.", least=1
    )

    @chz.validate
    def _check(self) -> None:
        if self.soft_targets and self.data is not None and self.teacher is None:
            raise ValueError(
                "soft_targets needs a teacher to ask for its probabilities; with data alone, name "
                "one by teacher="
            )

    def estimate(self) -> Estimate:
        """An exercise with its answer is some 28 tokens of the nano model."""
        steps = self.steps + self.teacher_steps * (self.data is None and self.teacher is None)
        return Estimate(steps, steps * self.batch_size * TOKENS_EACH)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train the student; figures of it, of the teacher, and of what it was before."""
        if self.data is not None:
            return await learn_data(run, self, await self._named(run) if self.teacher else None)
        theirs, asked, test = exercises(
            self.seed, self.teacher_steps * TEACHER_BATCH, self.asked, self.held_out
        )
        teacher = await (
            self._named(run) if self.teacher else taught(run, theirs, self.teacher_steps)
        )
        return gap_closed(*await learn_exercises(run, self, teacher, asked, test))

    async def _named(self, run: Run) -> Teacher:
        assert self.teacher is not None
        teacher = await open_teacher(run, self.teacher)
        if self.soft_targets:
            check_same_tokens(run, teacher)
        return teacher


if __name__ == "__main__":
    main(OffPolicy)
