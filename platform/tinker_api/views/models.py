"""What our SDK asks about a base model: its tokenizer, so that no client needs a hub."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from pathlib import Path

from django.http import HttpResponse

from catalog import services as catalog
from core.errors import NotFound
from tinker_api.endpoint import Call, reply

# Nothing else is ever read from a model's folder
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
MAX_FILE_BYTES = 64 * 2**20


async def tokenizer(call: Call, name: str) -> HttpResponse:
    """The text files of a base model's tokenizer, by file name."""
    offered = {model.name: model for model in await catalog.offered_models()}
    model = offered.get(name)
    if model is None:
        raise NotFound(f"there is no base model {name!r}; on offer: {', '.join(offered)}")
    files = await asyncio.to_thread(tokenizer_files, model.tokenizer_id)
    if not files:
        raise NotFound(
            f"the tokenizer of {name} ({model.tokenizer_id}) is not on this server and could not "
            "be fetched from the hub; load it from the hub in your program"
        )
    return reply({"tokenizer_id": model.tokenizer_id, "files": files})


def tokenizer_files(tokenizer_id: str) -> dict[str, str]:
    """The tokenizer files of a folder, or of a hub repository; empty when there are none."""
    folder = Path(tokenizer_id)
    if not folder.is_dir():
        fetched = _fetch(tokenizer_id)
        if fetched is None:
            return {}
        folder = fetched
    return {name: text for name in TOKENIZER_FILES if (text := _read(folder / name)) is not None}


def _read(path: Path) -> str | None:
    """A tokenizer file's text, or None when there is no such file."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return _read_version(path, stat.st_mtime_ns) if stat.st_size <= MAX_FILE_BYTES else None


@lru_cache(maxsize=32)
def _read_version(path: Path, modified_ns: int) -> str:
    return path.read_text(encoding="utf-8")


def _fetch(repository: str) -> Path | None:
    """The local folder of a hub repository's tokenizer files, downloaded when need be."""
    # Imported late: only servers that offer models from the hub need it
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, allow_patterns=list(TOKENIZER_FILES)))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return None
