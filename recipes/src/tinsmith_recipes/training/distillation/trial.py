"""A distillation from one end to the other: what student and teacher said, before and after."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from tinsmith import SamplingClient
from tinsmith.renderers import Renderer
from tinsmith_recipes.training.asking import answers, said
from tinsmith_recipes.training.distillation.chats import asked_of
from tinsmith_recipes.training.distillation.lessons import LessonSettings, learn, lessons
from tinsmith_recipes.training.distillation.teacher import Message, Teacher
from tinsmith_recipes.training.figures import Figure, exact, mean, share
from tinsmith_recipes.training.run import Run
from tinsmith_recipes.training.supervised import Weighed, held_out_nlls


class Known(Protocol):
    """A question whose right answer is known."""

    @property
    def question(self) -> list[dict[str, str]]:
        """The chat up to the answer."""

    @property
    def answer(self) -> str:
        """What is right."""


async def say(
    sampler: SamplingClient,
    renderer: Renderer,
    chats: Sequence[Sequence[Message]],
    max_tokens: int,
) -> list[str]:
    """What a model answers, its likeliest tokens."""
    heard = await answers(sampler, renderer, chats, max_tokens=max_tokens)
    return [said(one) for one in heard]


def right(test: Sequence[Known], heard: Sequence[str]) -> Figure:
    """The share of right answers."""
    return share([one.answer == words for one, words in zip(test, heard, strict=True)])


async def said_before(
    run: Run, student: SamplingClient, teacher: Teacher, test: Sequence[Known], max_tokens: int
) -> tuple[list[str], list[str]]:
    """What the student answers as it begins, and what the teacher; asked once in a run."""

    async def ask() -> list[list[str]]:
        chats = [one.question for one in test]
        theirs = [teacher.chat(chat) for chat in chats]
        return [
            await say(student, run.renderer, chats, max_tokens),
            await say(teacher.sampler, teacher.renderer, theirs, max_tokens),
        ]

    was, wanted = await run.once("before", ask)
    return was, wanted


async def said_now(run: Run, test: Sequence[Known], max_tokens: int) -> list[str]:
    """What the student answers."""
    return await say(run.sampler(), run.renderer, [one.question for one in test], max_tokens)


def gap_closed(before: Figure, teacher: Figure, student: Figure) -> dict[str, Figure]:
    """The three shares, the gap of student and teacher, and which part of it is closed."""
    gap = teacher.value - before.value
    return {
        "before": before,
        "teacher": teacher,
        "student": student,
        "gap": exact(gap),
        "gap_closed": exact((student.value - before.value) / gap if gap > 0 else 0.0),
    }


def show(
    run: Run,
    step: int,
    test: Sequence[Known],
    was: Sequence[str],
    wanted: Sequence[str],
    now: Sequence[str],
) -> None:
    """Write what all said as a transcript."""
    rows: list[dict[str, Any]] = [
        {
            "messages": [*one.question, {"role": "assistant", "content": heard}],
            "reward": float(heard == one.answer),
            "note": f"before: {earlier} · teacher: {theirs}",
        }
        for one, earlier, theirs, heard in zip(test, was, wanted, now, strict=True)
    ]
    run.transcript(step, rows)


async def learn_exercises(
    run: Run,
    settings: LessonSettings,
    teacher: Teacher,
    asked: Sequence[Known],
    test: Sequence[Known],
) -> tuple[Figure, Figure, Figure]:
    """Have the teacher answer, and the student learn it, right answers seen by nobody.

    Returns:
        The shares of right answers to ``test``: of the student before, the teacher, the student.
    """
    longest = settings.max_tokens
    was, wanted = await said_before(run, run.base, teacher, test, longest)

    async def evaluate() -> dict[str, float]:
        return {"test/right": right(test, await said_now(run, test, longest)).value}

    chats = await lessons(
        run,
        teacher,
        [one.question for one in asked],
        max_tokens=longest,
        temperature=settings.temperature,
    )
    await learn(run, chats, settings, teacher, evaluate=evaluate if settings.eval_every else None)
    now = await said_now(run, test, longest)
    show(run, settings.steps, test, was, wanted, now)
    return right(test, was), right(test, wanted), right(test, now)


async def learn_data(
    run: Run, settings: LessonSettings, teacher: Teacher | None
) -> dict[str, Figure]:
    """The same with chats of one's own, whose answers are the teacher's, or without one the rows'.

    Returns:
        How likely the student finds held-out answers, in nats a token, before and after.

    Raises:
        ValueError: rows that nobody answers; too few of them.
    """
    rows, test = asked_of(settings)
    if teacher is not None:
        chats = await lessons(
            run,
            teacher,
            [one.question for one in (*test, *rows)],
            max_tokens=settings.max_tokens,
            temperature=settings.temperature,
        )
    else:
        chats = [[*one.question, one.answer] for one in (*test, *rows) if one.answer is not None]
        missing = len(rows) + len(test) - len(chats)
        if missing:
            raise ValueError(
                f"{missing} rows of {settings.data} have no answer to learn; name a teacher that "
                "answers, teacher="
            )
    held, learnt = chats[: len(test)], chats[len(test) :]
    if not learnt:
        raise ValueError(f"only {len(chats)} answers ended: none is left beside held_out")
    examples = [Weighed.of(run.renderer.example(chat), settings.reduction) for chat in held]

    async def measured() -> list[float]:
        return await held_out_nlls(run, examples)

    async def evaluate() -> dict[str, float]:
        return {"test/nll": mean(await measured()).value}

    was = await run.once("before", measured)
    await learn(run, learnt, settings, teacher, evaluate=evaluate if settings.eval_every else None)
    return {"before_nll": mean(was), "nll": mean(await measured())}
