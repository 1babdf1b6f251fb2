"""The public cookbook's own way to talk to saved weights."""

from __future__ import annotations

import asyncio

from tinker_cookbook.completers import TinkerMessageCompleter
from tinker_cookbook.renderers import get_renderer, get_text_content
from tinker_cookbook.tokenizer_utils import get_tokenizer

from .kit import WAIT_S, Kit


def answers(
    kit: Kit, base_model: str, renderer_name: str, path: str, question: str, count: int
) -> list[str]:
    """What the weights at a path answer, several times over."""
    sampler = kit.service().create_sampling_client(model_path=path).result(WAIT_S)
    renderer = get_renderer(renderer_name, get_tokenizer(base_model))
    complete = TinkerMessageCompleter(sampler, renderer, max_tokens=16, temperature=0.5)

    async def ask() -> list[str]:
        asked = [complete([{"role": "user", "content": question}]) for _ in range(count)]
        return [get_text_content(message) for message in await asyncio.gather(*asked)]

    return asyncio.run(ask())
