"""Asks samplers: `sample` operations in the log, followed to their end.

What nobody waits for any more is given up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace

import msgspec
import psycopg

from accounts.actors import Actor
from core import hub, ids
from core.endpoint import Broken, Unavailable
from core.errors import ApiError, NotFound, SessionEnded
from openai_api import doors
from openai_api.doors import Chosen, Door
from openai_api.errors import Refused
from operations import partial, results
from operations import services as operations
from operations.announcements import TOKENS
from operations.bodies import Chunk, Prompt, SampleBody, SamplingParams
from operations.closing import ENDED_MESSAGE
from operations.partial import Progress
from operations.results import Sampled
from operations.services import Failed, Pending

log = logging.getLogger(__name__)

# as long as OpenAI's own clients wait
AT_MOST_S = 600.0
# how long a pool may be without a worker before its requests are sent away
WITHOUT_WORKER_S = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """What to sample. The engine's own end tokens stop unless it is told what does.

    `ends_itself`: they are all of `end_tokens`. `lead` stands before an answer's text.
    """

    prompts: list[list[int]]
    n: int
    max_tokens: int | None
    temperature: float
    top_p: float
    top_k: int
    seed: int | None
    stops: list[str]
    end_tokens: frozenset[int]
    top_logprobs: int
    top_parameter: str  # what the API calls it
    ends_itself: bool = True
    lead: str = ""

    def seeded(self) -> Question:
        """The same with a seed, so that a sample that is done again says the same."""
        return self if self.seed is not None else replace(self, seed=secrets.randbits(63))

    def body(self, prompt: list[int], sampler_id: str, number: int, live: bool) -> bytes:
        """The operation's body, as clients of the wire protocol send it."""
        stops: list[str | int] = []
        if self.stops or not self.ends_itself:
            stops = [*sorted(self.end_tokens), *self.stops]
        return msgspec.json.encode(
            SampleBody(
                type="sample",
                sampling_session_id=sampler_id,
                seq_id=number,
                num_samples=self.n,
                prompt=Prompt(chunks=[Chunk(type="encoded_text", tokens=prompt)]),
                sampling_params=SamplingParams(
                    max_tokens=self.max_tokens,
                    seed=self.seed,
                    stop=stops or None,
                    temperature=self.temperature,
                    top_k=self.top_k,
                    top_p=self.top_p,
                ),
                topk_sample_logprobs=self.top_logprobs,
                report_tokens=live,
            )
        )


@dataclass(frozen=True, slots=True)
class Silence:
    """Nothing has come for a while."""


Event = list[Progress] | Sampled | Silence


async def ask(
    actor: Actor, chosen: Chosen, question: Question, *, live: bool
) -> AsyncGenerator[tuple[int, Event]]:
    """(index of the prompt, what has come): tokens if `live`, and last of each prompt its answer.

    Whoever stops iterating gives up what is not answered.

    Raises:
        ApiError: the samples failed, or took too long.
    """
    events: asyncio.Queue[tuple[int, Event | Exception]] = asyncio.Queue()
    tasks = [
        asyncio.create_task(_ask_one(actor, chosen, question, index, live, events))
        for index in range(len(question.prompts))
    ]
    try:
        unanswered = len(tasks)
        while unanswered:
            index, event = await events.get()
            if isinstance(event, Exception):
                raise event
            unanswered -= isinstance(event, Sampled)
            yield index, event
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        # by its traceback, an error that is left over leads back to the queue it lies in
        while not events.empty():
            events.get_nowait()


async def _ask_one(
    actor: Actor,
    chosen: Chosen,
    question: Question,
    index: int,
    live: bool,
    events: asyncio.Queue[tuple[int, Event | Exception]],
) -> None:
    """Put what comes of one prompt into `events`; its last is an answer or an exception.

    A session that ends before that, for whatever reason, is replaced, once. What is asked again has
    the same seed, so that it goes on saying what it has said.
    """
    question = question.seeded()
    try:
        try:
            await _ask_in_session(actor, chosen, question, index, live, events)
        except (SessionEnded, NotFound):
            await _ask_in_session(actor, chosen, question, index, live, events)
    except Exception as error:
        events.put_nowait((index, error))


async def _ask_in_session(
    actor: Actor,
    chosen: Chosen,
    question: Question,
    index: int,
    live: bool,
    events: asyncio.Queue[tuple[int, Event | Exception]],
) -> None:
    """Ask in the session there is; one that turns out to have ended is forgotten.

    Raises:
        SessionEnded, NotFound: the session has ended, or was deleted.
    """
    door = doors.of(actor)
    sampler_id = await door.sampler(actor, chosen)
    try:
        with contextlib.ExitStack() as listening:
            request_id, queue = await _submit(listening, actor, sampler_id, question, index, live)
            try:
                async with contextlib.aclosing(
                    _follow(actor, door, request_id, queue, question)
                ) as following:
                    async for event in following:
                        events.put_nowait((index, event))
            except BaseException:
                await _give_up(actor, request_id)
                raise
    except (SessionEnded, NotFound):
        door.forget(sampler_id)
        raise


async def _submit(
    listening: contextlib.ExitStack,
    actor: Actor,
    sampler_id: str,
    question: Question,
    index: int,
    live: bool,
) -> tuple[str, asyncio.Queue[str | None]]:
    """Append the operation; its request id and where its tokens arrive."""
    number = doors.next_number()
    request_id = ids.request_id(sampler_id, number)
    # before the submit: what is announced to nobody is lost
    queue = listening.enter_context(hub.current().queue(TOKENS, request_id))
    if live:
        await hub.current().listening()
    try:
        await operations.submit_to_sampler(
            actor=actor,
            sampler_id=sampler_id,
            seq=number,
            body=question.body(question.prompts[index], sampler_id, number, live),
        )
    except (SessionEnded, NotFound):
        raise
    except BaseException:
        # cut off in the middle: it may be in the log all the same
        await _give_up(actor, request_id)
        raise
    return request_id, queue


async def _follow(
    actor: Actor,
    door: Door,
    request_id: str,
    queue: asyncio.Queue[str | None],
    question: Question,
) -> AsyncGenerator[Event]:
    """What comes of a submitted request, until its answer."""
    started = served = time.monotonic()
    async with contextlib.aclosing(
        partial.follow(queue, actor=actor, request_id=request_id)
    ) as outcomes:
        async for outcome in outcomes:
            now = time.monotonic()
            await door.keep_open(actor)
            if isinstance(outcome, list):
                served = now
                yield outcome
            elif isinstance(outcome, Pending):
                if outcome.queue_state != "paused_capacity":
                    served = now
                elif now - served > WITHOUT_WORKER_S:
                    raise Unavailable(f"{outcome.reason}; try again later")
                if now - started > AT_MOST_S:
                    raise Unavailable(f"not done within {AT_MOST_S:.0f} s; try again later")
                yield Silence()
            elif isinstance(outcome, Failed):
                raise _failure(outcome, question)
            else:
                yield results.read_sample(outcome.body)


def _failure(failed: Failed, question: Question) -> ApiError:
    if failed.message == ENDED_MESSAGE:
        return SessionEnded(failed.message)
    if failed.category != "user":
        return Broken(failed.message)
    if question.top_logprobs and "topk_sample_logprobs" in failed.message:
        return Refused(
            f"{question.top_parameter} {question.top_logprobs} is not offered by this server; "
            "use 0",
            question.top_parameter,
            "unsupported_parameter",
        )
    return Refused(failed.message)


async def _give_up(actor: Actor, request_id: str) -> None:
    """Cancel a request of whose answer nobody will hear; one that never got far is no request."""
    try:
        with contextlib.suppress(NotFound):
            await operations.cancel(actor=actor, request_id=request_id)
    except (ApiError, psycopg.Error) as error:
        log.warning("%s could not be cancelled: %s", request_id, error)
