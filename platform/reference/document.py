"""The OpenAPI document of both APIs, made once a process."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import msgspec
from django.conf import settings

from core.openapi import describe
from openai_api import description as openai
from tinker_api import openapi as wire

_ABOUT = """
Tinsmith fine-tunes language models with LoRA. A program opens a session, makes training runs in \
it, and asks for operations on them: passes over batches, optimizer steps, checkpoints. Such a \
request answers at once with a request id; `retrieve_future` gives the result. Operations on a run \
are done in the order of their `seq_id`, from 1, whatever order they arrive in, and one that is \
sent again is done once.

Errors are `{"detail": "…"}` with a 4xx or 5xx status (in OpenAI's shape below `/v1/`). A body \
with an unknown field is refused, and so is a value that would be ignored: the message names what \
is allowed. What belongs to another team answers 404.
""".strip()


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document."""
    info = {
        "title": "Tinsmith",
        "version": _version(),
        "summary": "Fine-tuning of language models, in the Tinker wire protocol.",
        "description": _ABOUT,
        "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
    }
    made = describe([wire.API, openai.API], info=info, tags=wire.TAGS | openai.TAGS)
    if settings.PUBLIC_URL:
        made["servers"] = [{"url": settings.PUBLIC_URL}]
    return made


@cache
def as_json() -> bytes:
    """The document as it is served."""
    return msgspec.json.encode(document())


def _version() -> str:
    try:
        return version("tinsmith-platform")
    except PackageNotFoundError:
        return "0"
