"""Words for refusals: the name that was probably meant."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

_NEAR = 0.6
_LONGEST = 300  # comparing takes time with the lengths of both


def did_you_mean(given: str, names: Iterable[str]) -> str:
    """`` (did you mean 'X'?)``, or nothing where no name is near.

    >>> did_you_mean("nano-qwen", ["nano-qwen3", "nano-llama3"])
    " (did you mean 'nano-qwen3'?)"
    """
    if len(given) > _LONGEST:
        return ""
    plain = {name.lower(): name for name in names}
    close = get_close_matches(given.lower(), plain, 1, _NEAR)
    return f" (did you mean {plain[close[0]]!r}?)" if close else ""


_OPENAI = "OpenAI's clients take the server's address with one /v1 at its end as their base_url"
_TINKER = "the SDK takes the server's address as its base_url, without /v1 or /api/v1"
_OPENAI_PATHS = ("/chat/completions", "/completions", "/models", "/embeddings", "/responses")


def misplaced(path: str) -> str:
    """What somebody should do whose program has asked for ``path``; nothing where nobody knows.

    >>> misplaced("/v1/v1/models")[:15], misplaced("/nowhere")
    ("OpenAI's client", '')
    """
    if path.startswith(("/v1/api/v1", "/api/v1/api/v1", "/api/v1/v1")):
        return _TINKER
    if path.startswith(("/v1/v1", "/api/v1/chat/", *_OPENAI_PATHS)):
        return _OPENAI
    return ""
