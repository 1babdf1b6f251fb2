"""Tokenizers, from the server, so that no model hub is needed.

The server sends the tokenizer's files; they are kept in the user's cache under the hash of their
contents and loaded with transformers, which is imported only here. Only plain data files of known
names
are accepted: nothing that is downloaded is ever executed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tinsmith import errors
from tinsmith._settings.settings import cache_directory

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from tinsmith._session.session import Session

ALLOWED_FILES = frozenset(
    {
        "added_tokens.json",
        "chat_template.jinja",
        "config.json",
        "merges.txt",
        "special_tokens_map.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "vocab.json",
        "vocab.txt",
    }
)


class TokenizerFiles(msgspec.Struct):
    """Reply of ``GET models/{name}/tokenizer``: file name to text."""

    files: dict[str, str]


_lock = threading.Lock()
_loaded: dict[tuple[str, str], Any] = {}


def load(session: Session, model_name: str, tokenizer_id: str | None) -> PreTrainedTokenizerBase:
    """The tokenizer of a base model; the same object every time. Waits for the server.

    Raises:
        ImportError: transformers is not installed.
        TinsmithError: the server has no such model, or sent something else than a tokenizer.
    """
    key = (session.settings.base_url, model_name)
    if key not in _loaded:
        folder = session.run(fetch(session, model_name)).result()
        with _lock:
            if key not in _loaded:
                source = folder or tokenizer_id or _hub_name(model_name)
                _loaded[key] = open_tokenizer(source)
    tokenizer: PreTrainedTokenizerBase = _loaded[key]
    return tokenizer


async def fetch(session: Session, model_name: str) -> Path | None:
    """The folder with the tokenizer's files; None when the server has no such route."""
    try:
        reply = await session.get(f"models/{model_name}/tokenizer", TokenizerFiles)
    except errors.NotFoundError as error:
        # Our server says what it does not have; the hosted service does not know the route
        if "model" in error.detail.lower():
            raise
        return None
    return store(reply.files, cache_directory() / "tokenizers")


def store(files: dict[str, str], root: Path) -> Path:
    """Write the files to a folder named by their contents; several processes may do so at once.

    Raises:
        APIResponseValidationError: a file name that is not expected, or no tokenizer among them.
    """
    unknown = sorted(set(files) - ALLOWED_FILES)
    if unknown:
        raise errors.APIResponseValidationError(
            f"the server sent files that belong to no tokenizer: {', '.join(map(repr, unknown))}"
        )
    if not files.keys() & {"tokenizer.json", "vocab.json", "vocab.txt"}:
        raise errors.APIResponseValidationError("the server sent no tokenizer.json")
    digest = hashlib.sha256(msgspec.json.encode(sorted(files.items()))).hexdigest()[:32]
    folder = root / digest
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=root, prefix=".new-"))
    try:
        for name, text in files.items():
            (temporary / name).write_bytes(text.encode())
        os.replace(temporary, folder)
    except OSError:
        if not folder.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def open_tokenizer(source: str | Path) -> Any:
    """A transformers tokenizer, from a folder or from the hub."""
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise ImportError(
            "tokenizers need transformers: pip install 'tinsmith[tokenizers]'"
        ) from error
    return AutoTokenizer.from_pretrained(str(source), trust_remote_code=False)


def _hub_name(model_name: str) -> str:
    """``org/model`` out of ``org/model/variant:anything``."""
    return "/".join(model_name.partition(":")[0].split("/")[:2])
