"""The nano version's task, sorting letters, and a teacher that has learnt it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from string import ascii_lowercase

from tinsmith_recipes.training import Figure, Run
from tinsmith_recipes.training.distillation import Teacher, open_teacher
from tinsmith_recipes.training.supervised import Supervision, Weighed, train_supervised

SHORTEST, LONGEST = 4, 6
TOKENS_EACH = 28
TEACHER_BATCH, TEACHER_RATE, TEACHER_WARMUP = 32, 5e-3, 10


@dataclass(frozen=True, slots=True)
class Exercise:
    """Letters to be sorted."""

    letters: str

    @property
    def question(self) -> list[dict[str, str]]:
        """The chat up to the answer."""
        return [{"role": "user", "content": f"Sort the letters of '{self.letters}'."}]

    @property
    def answer(self) -> str:
        """What is right."""
        return "".join(sorted(self.letters))

    @property
    def chat(self) -> list[dict[str, str]]:
        """Question and answer."""
        return [*self.question, {"role": "assistant", "content": self.answer}]


def exercises(seed: int, *counts: int) -> list[list[Exercise]]:
    """So many lists of exercises, each so long; no two of all have the same letters.

    >>> learn, test = exercises(0, 3, 2)
    >>> len(learn), len(test), learn[0].answer == "".join(sorted(learn[0].letters))
    (3, 2, True)
    """
    random = Random(f"exercises {seed}")
    found: dict[str, Exercise] = {}
    while len(found) < sum(counts):
        length = random.randint(SHORTEST, LONGEST)
        one = Exercise("".join(random.choice(ascii_lowercase) for _ in range(length)))
        found.setdefault(one.answer, one)
    drawn = iter(found.values())
    return [[next(drawn) for _ in range(count)] for count in counts]


async def taught(run: Run, learn: Sequence[Exercise], steps: int) -> Teacher:
    """A teacher: the student's base model, trained on right answers in a first stage of the run.

    Args:
        run: the student's.
        learn: what the teacher learns, TEACHER_BATCH a step.
        steps: how many.
    """
    settings = Supervision(
        steps=steps,
        batch_size=TEACHER_BATCH,
        learning_rate=TEACHER_RATE,
        warmup=TEACHER_WARMUP,
    )

    async def train(stage: Run) -> dict[str, Figure]:
        examples = [Weighed.of(stage.renderer.example(one.chat), "mean") for one in learn]
        await train_supervised(stage, examples, settings)
        return {}

    summary = await run.in_stage("teacher", train)
    assert summary.sampler_path is not None
    return await open_teacher(run, summary.sampler_path)
