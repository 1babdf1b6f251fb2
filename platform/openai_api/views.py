"""Models, completions, chat completions."""

from __future__ import annotations

import asyncio
from typing import Any

from django.http import HttpResponse

from checkpoints import services as checkpoints
from checkpoints.services import CheckpointInfo
from core.endpoint import reply
from core.errors import NotFound
from core.words import misplaced
from openai_api import chats, doors, schemas, vocabulary
from openai_api.answers import ChatShape, Shape, TextShape
from openai_api.asking import Question
from openai_api.completing import Task, complete
from openai_api.doors import Chosen
from openai_api.endpoint import Call
from openai_api.errors import Refused
from openai_api.families import Written
from openai_api.vocabulary import Vocabulary

# what OpenAI's own completions give when they are not told
DEFAULT_COMPLETION_TOKENS = 16
MOST_LISTED = 1000
LARGE_CHAT_BYTES = 20_000


async def list_models(call: Call) -> HttpResponse:
    """Base models, and the team's sampler checkpoints, newest first."""
    models = [_base_model(model) for model in await doors.sampleable_models()]
    saved, _ = await checkpoints.list_of_team(
        actor=call.actor, segments=["sampler_weights"], limit=MOST_LISTED, offset=0
    )
    models += [_checkpoint(item, call.actor.team_name) for item in saved]
    return reply({"object": "list", "data": models})


async def show_model(call: Call, name: str) -> HttpResponse:
    """One model."""
    chosen = await doors.choose(call.actor, name)
    if chosen.path is None:
        return reply(_base_model(chosen.base))
    found = await checkpoints.find_readable(actor=call.actor, path=chosen.path)
    return reply(_checkpoint(found, call.actor.team_name))


def _base_model(model: Any) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": int(model.created_at.timestamp()),
        "owned_by": "tinsmith",
        "max_model_len": model.max_context_length,
    }


def _checkpoint(item: CheckpointInfo, owner: str) -> dict[str, Any]:
    return {
        "id": item.path,
        "object": "model",
        "created": int(item.created_at.timestamp()),
        "owned_by": owner,
        "parent": item.base_model,
    }


async def completions(call: Call) -> HttpResponse:
    """Continue prompts."""
    wanted = call.json(schemas.Completion)
    schemas.check(wanted)
    chosen = await doors.choose(call.actor, wanted.model)
    words = await vocabulary.of_model(chosen.base)
    prompts = [
        await vocabulary.encode(words, prompt, special=True) if isinstance(prompt, str) else prompt
        for prompt in _prompts(wanted.prompt)
    ]
    question = _question(
        wanted,
        chosen,
        words,
        prompts,
        wanted.max_tokens or DEFAULT_COMPLETION_TOKENS,
        wanted.logprobs or 0,
    )
    return await _answer(
        call, chosen, words, wanted, question, TextShape(words, wanted.logprobs is not None)
    )


async def chat_completions(call: Call) -> HttpResponse:
    """Answer the last message of a chat."""
    wanted = call.json(schemas.Chat)
    schemas.check(wanted)
    chosen = await doors.choose(call.actor, wanted.model)
    words = await vocabulary.of_model(chosen.base)
    if len(call.request.body) > LARGE_CHAT_BYTES:
        written = await asyncio.to_thread(chats.write, words, chosen, wanted)
    else:
        written = chats.write(words, chosen, wanted)
    question = _question(
        wanted,
        chosen,
        words,
        [written.tokens],
        wanted.max_completion_tokens or wanted.max_tokens,
        wanted.top_logprobs or 0,
        written,
    )
    return await _answer(
        call, chosen, words, wanted, question, ChatShape(words, bool(wanted.logprobs))
    )


async def nothing(call: Call, address: str) -> HttpResponse:
    """What every other address answers."""
    hint = misplaced(f"/v1/{address}")
    raise NotFound(f"there is no {call.request.method} /v1/{address}{hint and f'; {hint}'}")


def _prompts(given: Any) -> list[str | list[int]]:
    """The prompts of a request, which may be given in four ways."""
    if isinstance(given, str):
        return [given]
    if isinstance(given, list) and given:
        if _are_tokens(given):
            return [given]
        prompts = [item for item in given if isinstance(item, str) or _are_tokens(item)]
        if len(prompts) == len(given) <= schemas.MOST_PROMPTS:
            return prompts
    raise Refused(
        "prompt must be a text, a list of tokens, or a list of up to "
        f"{schemas.MOST_PROMPTS} of these",
        "prompt",
    )


def _are_tokens(given: Any) -> bool:
    return isinstance(given, list) and all(
        isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**31 for item in given
    )


def _question(
    wanted: schemas.Sampling,
    chosen: Chosen,
    words: Vocabulary,
    prompts: list[list[int]],
    max_tokens: int | None,
    top_logprobs: int,
    written: Written | None = None,
) -> Question:
    """What to sample; prompts that cannot be are refused before anything is asked."""
    longest = chosen.base.max_context_length
    for prompt in prompts:
        if not prompt:
            raise Refused("the prompt is empty: give at least one token", "prompt")
        if len(prompt) + (max_tokens or 1) > longest:
            raise Refused(
                f"the prompt has {len(prompt)} tokens and {max_tokens or 1} or more are to be "
                f"sampled; this model's context holds {longest}",
                "messages" if isinstance(wanted, schemas.Chat) else "prompt",
                "context_length_exceeded",
            )
    written = written or Written(prompts[0])
    return Question(
        prompts=prompts,
        n=wanted.n or 1,
        max_tokens=max_tokens,
        temperature=1.0 if wanted.temperature is None else wanted.temperature,
        top_p=1.0 if wanted.top_p is None else wanted.top_p,
        top_k=wanted.top_k or -1,
        seed=wanted.seed,
        stops=schemas.stops_of(wanted) + written.stops,
        end_tokens=words.end_tokens | written.end_tokens,
        ends_itself=written.end_tokens <= words.end_tokens,
        lead=written.lead,
        top_logprobs=top_logprobs,
        top_parameter="top_logprobs" if isinstance(wanted, schemas.Chat) else "logprobs",
    )


async def _answer(
    call: Call,
    chosen: Chosen,
    words: Vocabulary,
    wanted: schemas.Sampling,
    question: Question,
    shape: Shape,
) -> HttpResponse:
    options = wanted.stream_options
    return await complete(
        Task(
            actor=call.actor,
            chosen=chosen,
            vocabulary=words,
            question=question,
            shape=shape,
            stream=bool(wanted.stream),
            stream_usage=bool(options and options.include_usage),
        )
    )
