"""Where a base model's tokenizer files lie: a folder, or fetched once from the hub."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

# What clients get; nothing else is ever sent from a model's folder
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "vocab.json",
    "merges.txt",
)
# What the server itself reads beside them: which tokens end a text
MODEL_FILES = ("generation_config.json", "config.json")
MAX_FILE_BYTES = 64 * 2**20


def folder(tokenizer_id: str) -> Path | None:
    """The local folder of a tokenizer, downloaded when need be; None: it cannot be had."""
    path = Path(tokenizer_id)
    return path if path.is_dir() else _fetch(tokenizer_id)


def read_all(tokenizer_id: str) -> dict[str, str]:
    """The tokenizer files by name; empty when there are none."""
    found = folder(tokenizer_id)
    if found is None:
        return {}
    return {name: text for name in TOKENIZER_FILES if (text := read(found / name)) is not None}


def read(path: Path) -> str | None:
    """A file's text, or None when there is no such file (or one far too large)."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return _read_version(path, stat.st_mtime_ns) if stat.st_size <= MAX_FILE_BYTES else None


@lru_cache(maxsize=32)
def _read_version(path: Path, modified_ns: int) -> str:
    return path.read_text(encoding="utf-8")


def _fetch(repository: str) -> Path | None:
    """The local folder of a hub repository's tokenizer files."""
    # Imported late: only servers that offer models from the hub need it
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        wanted = [*TOKENIZER_FILES, *MODEL_FILES]
        return Path(snapshot_download(repository, allow_patterns=wanted))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
        return None
