"""Learning from what a teacher says: its answers are collected once, then trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import chz

from tinsmith.renderers import Ending
from tinsmith_recipes.training.asking import answers
from tinsmith_recipes.training.distillation.chats import ChatData
from tinsmith_recipes.training.distillation.soft import SoftTargets
from tinsmith_recipes.training.distillation.teacher import Message, Teacher
from tinsmith_recipes.training.loop import Evaluate
from tinsmith_recipes.training.recipe import setting
from tinsmith_recipes.training.run import Run
from tinsmith_recipes.training.supervised import (
    SupervisedSettings,
    Weighed,
    train_on_ready,
)

FILE = "lessons.jsonl"
AT_ONCE = 256
ENDED = (Ending.STOP.value, Ending.END_OF_TEXT.value)


@chz.chz
class LessonSettings(SupervisedSettings, ChatData):
    """The fields of recipes whose teacher answers, and whose student learns the answers."""

    max_tokens: int = setting(
        48, "Longest answer of the teacher; one that is cut off is not learnt from.", least=1
    )
    temperature: float = setting(
        1.0,
        "Of the teacher's sampling: 1 draws answers as likely as it finds them, 0 takes its "
        "likeliest.",
        least=0,
        most=10,
    )
    soft_targets: int = setting(
        0,
        "How many of the teacher's likeliest tokens are learnt at every position, each with its "
        "probability; 0 learns the answer's own tokens, which works with any tokenizer.",
        least=0,
        most=1000,
    )
    renormalise: bool = setting(
        True,
        "Whether those probabilities are divided by their sum, so that all positions count alike; "
        "else what lies beyond them is left out of a position's weight.",
    )


async def lessons(
    run: Run,
    teacher: Teacher,
    chats: Sequence[Sequence[Message]],
    *,
    max_tokens: int,
    temperature: float = 1.0,
) -> list[list[dict[str, Any]]]:
    """Every chat with the teacher's answer to it, without the teacher's own prompt.

    They are kept in ``lessons.jsonl`` as they come, a row a chat in the form that ``load_chats``
    reads: a run that goes on asks only for those that are missing. Answers that did not end
    are kept there, too, but are no lessons.

    Args:
        run: the student's.
        teacher: who answers.
        chats: messages of each, the last one not the assistant's.
        max_tokens: longest answer.
        temperature: 1 draws answers as likely as the teacher finds them; 0 takes its likeliest.

    Raises:
        ValueError: no answer ended.
    """
    rows = run.folder.rows(FILE)
    while len(rows) < len(chats):
        asked = chats[len(rows) : len(rows) + AT_ONCE]
        said = await answers(
            teacher.sampler,
            teacher.renderer,
            [teacher.chat(chat) for chat in asked],
            max_tokens=max_tokens,
            temperature=temperature,
            # answer number i draws with this plus i, wherever a start begins
            seed=run.seed("lessons") + len(rows),
        )
        for chat, one in zip(asked, said, strict=True):
            row = {"messages": [*chat, one.message], "ending": one.ending.value}
            run.folder.append(FILE, row)
            rows.append(row)
    learnt = [row["messages"] for row in rows if row["ending"] in ENDED]
    left_out = len(rows) - len(learnt)
    if not learnt:
        raise ValueError(
            f"none of the {len(rows)} answers of {teacher.name} ended within max_tokens="
            f"{max_tokens}, so there is nothing to learn from; raise max_tokens"
        )
    if left_out:
        run.advise(
            f"{left_out} of the {len(rows)} answers of {teacher.name} were cut off at max_tokens="
            f"{max_tokens} or malformed, and are not learnt from"
        )
    return learnt


async def learn(
    run: Run,
    chats: Sequence[Sequence[Message]],
    settings: LessonSettings,
    teacher: Teacher | None = None,
    *,
    evaluate: Evaluate | None = None,
) -> None:
    """Train on the last message of every chat.

    Args:
        run: the student's.
        chats: that end with an answer.
        settings: of the training; with ``soft_targets`` the teacher's probabilities are learnt.
        teacher: needed for those only.
        evaluate: metrics of held-out data, see ``train_steps``.

    Raises:
        ValueError: a chat that cannot be written; a teacher with another tokenizer.
    """

    async def plain(chosen: Sequence[Sequence[Message]]) -> list[Weighed]:
        return [Weighed.of(run.renderer.example(chat), settings.reduction) for chat in chosen]

    soft: SoftTargets | None = None
    if settings.soft_targets and teacher is not None:
        soft = SoftTargets(
            run,
            teacher,
            settings.soft_targets,
            renormalise=settings.renormalise,
            reduction=settings.reduction,
        )
    for chat in chats:  # what cannot be written costs no run; tokens of all would fill the memory
        await plain([chat])
        if soft is not None:
            soft.lesson(chat)
    await train_on_ready(run, chats, soft.ready if soft else plain, settings, evaluate=evaluate)
