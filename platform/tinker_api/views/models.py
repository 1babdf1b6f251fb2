"""What our SDK asks about a base model: its tokenizer, so that no client needs a hub."""

from __future__ import annotations

import asyncio

from django.http import HttpResponse

from catalog import services as catalog
from catalog import tokenizer_files
from core.errors import NotFound
from core.words import did_you_mean
from tinker_api.endpoint import Call, reply


async def tokenizer(call: Call, name: str) -> HttpResponse:
    """The text files of a base model's tokenizer, by file name."""
    offered = {model.name: model for model in await catalog.offered_models()}
    model = offered.get(name)
    if model is None:
        near = did_you_mean(name, offered)
        raise NotFound(f"there is no base model {name!r}{near}; on offer: {', '.join(offered)}")
    files = await asyncio.to_thread(tokenizer_files.read_all, model.tokenizer_id)
    if not files:
        raise NotFound(
            f"the tokenizer of {name} is not on this server and could not "
            "be fetched from the hub; load it from the hub in your program"
        )
    shown = catalog.shown_tokenizer_id(name, model.tokenizer_id)
    return reply({"tokenizer_id": shown, "files": files})
