"""What our SDK asks about a base model: its tokenizer, so that no client needs a hub."""

from __future__ import annotations

import asyncio
from typing import Annotated

from catalog import services as catalog
from catalog import tokenizer_files
from core.errors import NotFound
from core.json_bodies import Answer, told
from core.words import did_you_mean
from tinker_api.endpoint import Call


class Tokenizer(Answer):
    """A tokenizer's files, as text."""

    tokenizer_id: str
    files: Annotated[dict[str, str], told("The text of each file, by its name.")]


async def tokenizer(call: Call, name: str) -> Tokenizer:
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
    return Tokenizer(tokenizer_id=shown, files=files)
