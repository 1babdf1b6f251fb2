"""What ``tinsmith login`` writes down: the servers one uses and a key for each.

A key is only ever sent to the server it was stored for. The file is the user's alone (0600):
TINSMITH_CREDENTIALS_FILE, else ``~/.config/tinsmith/credentials.json``.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

from tinsmith.errors import ConfigurationError

VERSION = 1


def path() -> Path:
    """Where the file is, whether it exists or not."""
    own = os.environ.get("TINSMITH_CREDENTIALS_FILE")
    if own:
        return Path(own)
    config = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(config) / "tinsmith" / "credentials.json"


def default_server() -> str | None:
    """The server that is meant when none is named."""
    default = _read().get("default")
    return default if isinstance(default, str) else None


def key_for(base_url: str) -> str | None:
    """The key stored for a server."""
    record = servers().get(base_url)
    key = record.get("api_key") if isinstance(record, dict) else None
    return key if isinstance(key, str) else None


def servers() -> dict[str, Any]:
    """What is stored, by server."""
    found = _read().get("servers")
    return found if isinstance(found, dict) else {}


def store(base_url: str, api_key: str, **about: str) -> None:
    """Remember a key, and its server as the one that is meant by default."""
    kept = {**servers(), base_url: {"api_key": api_key, **about}}
    _write({"version": VERSION, "default": base_url, "servers": kept})


def forget(base_url: str) -> bool:
    """Forget a server's key; whether there was one."""
    kept = servers()
    if kept.pop(base_url, None) is None:
        return False
    default = default_server()
    _write(
        {
            "version": VERSION,
            "default": next(iter(kept), None) if default == base_url else default,
            "servers": kept,
        }
    )
    return True


def _read() -> dict[str, Any]:
    try:
        text = path().read_text()
    except (FileNotFoundError, NotADirectoryError, RuntimeError):
        return {}  # RuntimeError: a user without a home
    except OSError as error:
        raise ConfigurationError(f"the credentials cannot be read: {error}") from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ConfigurationError(
            f"{path()} is no JSON ({error}); delete it and run `tinsmith login`"
        ) from None
    if not isinstance(found, dict) or found.get("version") != VERSION:
        raise ConfigurationError(
            f"{path()} was written by another release; delete it and run `tinsmith login`"
        )
    return found


def _write(contents: dict[str, Any]) -> None:
    target = path()
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=target.parent)  # readable by its owner alone
    try:
        with os.fdopen(handle, "w") as file:
            json.dump(contents, file, indent=2)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
