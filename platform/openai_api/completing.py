"""From a question to a response: whole, or as server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import msgspec
from django.http import HttpResponse

from accounts.actors import Actor
from core.endpoint import Broken, as_api_error, reply
from core.lane import EventStream
from openai_api.answers import Choice, Contradicted, Heading, Shape, Usage
from openai_api.asking import Event, Question, Silence, ask
from openai_api.detokenizer import Detokenizer
from openai_api.doors import Chosen
from openai_api.errors import as_json
from openai_api.vocabulary import Vocabulary
from operations.results import Sampled

# answers with more tokens than this are made into text in a thread
SHORT_TOKENS = 2000
DONE = b"data: [DONE]\n\n"
# a comment, which clients skip: it keeps what lies between from hanging up
STILL_THERE = b": waiting\n\n"


@dataclass(frozen=True, slots=True)
class Task:
    """A request that was understood."""

    actor: Actor
    chosen: Chosen
    vocabulary: Vocabulary
    question: Question
    shape: Shape
    stream: bool
    stream_usage: bool

    def choices(self, prompt: int) -> list[Choice]:
        """The answers to a prompt, before they begin."""
        n, asked = self.question.n, self.question
        return [
            Choice(index, Detokenizer(self.vocabulary, asked.stops, asked.end_tokens, asked.lead))
            for index in range(prompt * n, (prompt + 1) * n)
        ]

    def usage(self) -> Usage:
        """The count, before there are answers."""
        return Usage(sum(len(prompt) for prompt in self.question.prompts))


async def complete(task: Task) -> HttpResponse:
    """The response to a task.

    Raises:
        ApiError: it failed; once a stream has begun, the stream says so.
    """
    asked = ask(task.actor, task.chosen, task.question, live=_is_live(task))
    if not task.stream:
        async with contextlib.aclosing(asked):
            return await _whole(task, asked)
    # A failure before the first token is still an ordinary refusal
    try:
        first = await anext(asked)
    except BaseException:
        await asked.aclose()
        raise
    response = EventStream(_stream(task, first, asked), "text/event-stream; charset=utf-8")
    response.headers["Cache-Control"] = "no-cache"
    response.headers["X-Accel-Buffering"] = "no"
    return response


def _is_live(task: Task) -> bool:
    """Whether tokens are wanted as they come; those beside them come with the answer only."""
    return task.stream and not task.question.top_logprobs


async def _whole(task: Task, asked: AsyncIterator[tuple[int, Event]]) -> HttpResponse:
    answers: dict[int, Sampled] = {}
    usage = task.usage()
    async for index, event in asked:
        if isinstance(event, Sampled):
            answers[index] = event
            usage.add(event)
    if usage.completion > SHORT_TOKENS:
        choices = await asyncio.to_thread(_choices, task, answers)
    else:
        choices = _choices(task, answers)
    heading = Heading.new(task.shape, task.chosen.name)
    whole = heading.over(
        task.shape.whole_object, choices, usage=usage.as_json(), system_fingerprint=None
    )
    return reply(whole)


def _choices(task: Task, answers: dict[int, Sampled]) -> list[dict[str, Any]]:
    result: list[dict[str, Any]] = []
    for index, answered in sorted(answers.items()):
        for choice, sequence in zip(task.choices(index), answered.sequences, strict=True):
            piece = choice.finish(sequence)
            result.append(task.shape.whole(choice, piece, choice.reason(sequence)))
    return result


async def _stream(
    task: Task, first: tuple[int, Event], asked: AsyncGenerator[tuple[int, Event]]
) -> AsyncGenerator[bytes]:
    """The events of a stream; a failure is its last."""
    heading = Heading.new(task.shape, task.chosen.name)
    usage = task.usage()
    choices: dict[int, list[Choice]] = {}
    more: dict[str, Any] = {"usage": None} if task.stream_usage else {}
    async with contextlib.aclosing(asked):
        try:
            async for index, event in _with_first(first, asked):
                if isinstance(event, Silence):
                    yield STILL_THERE
                    continue
                if isinstance(event, Sampled):
                    usage.add(event)
                known = choices.setdefault(index, task.choices(index))
                for said in _said(task, known, event):
                    yield _event(heading.over(task.shape.chunk_object, [said], **more))
            if task.stream_usage:
                last = heading.over(task.shape.chunk_object, [], usage=usage.as_json())
                yield _event(last)
            yield DONE
        except Contradicted:
            yield _event(as_json(Broken("a worker was lost while it answered; ask again")))
        except Exception as error:
            yield _event(as_json(as_api_error(error, "a stream")))


def _said(task: Task, choices: list[Choice], event: Event) -> list[dict[str, Any]]:
    """The choices of the chunks that an event gives rise to."""
    result: list[dict[str, Any]] = []
    if isinstance(event, Sampled):
        for choice, sequence in zip(choices, event.sequences, strict=True):
            piece = choice.finish(sequence)
            result += task.shape.chunks(choice, piece, choice.reason(sequence))
    elif isinstance(event, list):
        for progress in event:
            choice = choices[progress.sequence]
            grown = choice.grow(progress)
            if grown is not None:
                result += task.shape.chunks(choice, grown, None)
    return result


async def _with_first(
    first: tuple[int, Event], rest: AsyncIterator[tuple[int, Event]]
) -> AsyncIterator[tuple[int, Event]]:
    yield first
    async for item in rest:
        yield item


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"
