"""What our SDK asks about a base model: its tokenizer, so that no client needs a hub."""

from __future__ import annotations

import asyncio

from django.http import HttpResponse

from catalog import services as catalog
from catalog import tokenizer_files
from core.errors import NotFound
from tinker_api.endpoint import Call, reply


async def tokenizer(call: Call, name: str) -> HttpResponse:
    """The text files of a base model's tokenizer, by file name."""
    offered = {model.name: model for model in await catalog.offered_models()}
    model = offered.get(name)
    if model is None:
        raise NotFound(f"there is no base model {name!r}; on offer: {', '.join(offered)}")
    files = await asyncio.to_thread(tokenizer_files.read_all, model.tokenizer_id)
    if not files:
        raise NotFound(
            f"the tokenizer of {name} ({model.tokenizer_id}) is not on this server and could not "
            "be fetched from the hub; load it from the hub in your program"
        )
    return reply({"tokenizer_id": model.tokenizer_id, "files": files})
