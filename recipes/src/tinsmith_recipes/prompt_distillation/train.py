"""Prompt distillation: the teacher reads instructions, the student learns its answers without."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import chz

from tinsmith_recipes.prompt_distillation.data import PROMPT, requests
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, exact, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.distillation import (
    LessonSettings,
    check_same_tokens,
    learn_data,
    learn_exercises,
    open_teacher,
    right,
    said_now,
)

TOKENS_EACH = 40


@chz.chz
class PromptDistillation(LessonSettings):
    """A model learns to do without its instructions what it does with them."""

    name: ClassVar[str] = "prompt_distillation"
    summary: ClassVar[str] = "Teaches a model a long system prompt, so that it needs it no more."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("teacher", least=0.8),
        Goal("before", most=0.3),
        Goal("behind_teacher", most=0.05),
    )

    steps: int = setting(
        40,
        "Optimizer steps; the nano model has learnt its prompt after 20, others want 100 or more.",
        least=1,
    )
    warmup: int = setting(10, "Steps in which the rate rises to its peak.", least=0)
    prompt: str = setting(
        PROMPT, "The instructions, as a system message; the nano models know this one."
    )
    prompt_file: str | None = setting(
        None, "A text file with the instructions, for those that are longer."
    )
    teacher: str | None = setting(
        None,
        "A base model or the tinker:// address of a sampler checkpoint that reads the prompt; by "
        "default the base model itself.",
    )
    asked: int = setting(
        500, "Generated requests that the teacher answers; the student sees its answers.", least=1
    )

    @chz.validate
    def _check(self) -> None:
        if self.prompt_file is not None and self.prompt != PROMPT:
            raise ValueError("prompt and prompt_file are two ways to give the same: choose one")

    @property
    def instructions(self) -> str:
        """The prompt, wherever it is given.

        Raises:
            ValueError: it is empty, or there is no such file.
        """
        text = self.prompt
        if self.prompt_file is not None:
            path = Path(self.prompt_file).expanduser()
            if not path.is_file():
                raise ValueError(f"prompt_file: there is no file {path}")
            text = path.read_text()
        if not text.strip():
            raise ValueError("the prompt is empty: there is nothing to distil")
        return text.strip()

    def estimate(self) -> Estimate:
        """A request with its answer is some 40 tokens of the nano model."""
        return Estimate(self.steps, self.steps * self.batch_size * TOKENS_EACH)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train the student; how good it is, the prompted teacher, and the student before."""
        prompt = [{"role": "system", "content": self.instructions}]
        teacher = await open_teacher(run, self.teacher or self.base_model, prompt=prompt)
        if self.soft_targets:
            check_same_tokens(run, teacher)
        if self.data is not None:
            return await learn_data(run, self, teacher)
        asked, test, unseen = requests(self.asked, self.held_out, self.seed)
        before, wanted, student = await learn_exercises(run, self, teacher, asked, test)
        heard = await said_now(run, unseen, self.max_tokens)
        return {
            "teacher": wanted,
            "before": before,
            "student": student,
            "behind_teacher": exact(wanted.value - student.value),
            "unseen_kinds": right(unseen, heard),
        }


if __name__ == "__main__":
    main(PromptDistillation)
