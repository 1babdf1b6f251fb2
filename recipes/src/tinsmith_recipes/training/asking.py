"""Asking a model many questions at once, and reading its answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith import SamplingClient, SamplingParams
from tinsmith.renderers import Parsed, Renderer

AT_ONCE = 64


async def answers(
    sampler: SamplingClient,
    renderer: Renderer,
    chats: Sequence[Sequence[Mapping[str, Any]]],
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> list[Parsed]:
    """The assistant's next message in every chat; at temperature 0 its likeliest one.

    Args:
        sampler: the model.
        renderer: how chats are written for it.
        chats: messages of each, the last one not the assistant's.
        max_tokens: longest answer.
        temperature: 0 takes the likeliest token every time.
        seed: chat number i is sampled with ``seed + i``.
    """
    slots = asyncio.Semaphore(AT_ONCE)

    async def answer(number: int, chat: Sequence[Mapping[str, Any]]) -> Parsed:
        params = SamplingParams(
            max_tokens=max_tokens, temperature=temperature, seed=seed + number, stop=renderer.stop
        )
        async with slots:
            drawn = await sampler.sample(renderer.prompt(chat), 1, params)
        return renderer.parse(drawn.sequences[0].tokens)

    return list(await asyncio.gather(*(answer(i, chat) for i, chat in enumerate(chats))))


def said(parsed: Parsed) -> str:
    """The text of a message without its thinking, and without white space around it."""
    content = parsed.message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(part.get("text", "") for part in content)
    return content.strip()
