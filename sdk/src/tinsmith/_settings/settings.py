"""Where the server is and who asks.

An argument counts first, then TINSMITH_* and TINKER_* in the environment, then what ``tinsmith
login`` wrote down.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from tinsmith._settings import credentials
from tinsmith._words.mistakes import check_text
from tinsmith.errors import ConfigurationError

DEFAULT_BASE_URL = "http://127.0.0.1:8000"
_HOST = re.compile(r"[\w.-]+(:\d+)?")
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True)
class Settings:
    """One server and one key.

    Attributes:
        base_url: without ``/`` at the end; a path prefix is fine.
        headers: sent with every request, on top of our own.
    """

    base_url: str
    api_key: str = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_loopback(self) -> bool:
        """Whether the server is this machine: proxies are not asked then."""
        return urlsplit(self.base_url).hostname in _LOOPBACK

    @property
    def masked_key(self) -> str:
        """The key as error messages may show it."""
        return f"{self.api_key[:4]}…{self.api_key[-4:]}"


def resolve(
    base_url: str | None = None,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Settings:
    """Fill in what was not given; raises ConfigurationError with what to set."""
    for name, value in (("base_url", base_url), ("api_key", api_key)):
        if value is not None:
            check_text(name, value)
    given = base_url or from_environment("BASE_URL")
    url = tidy(given or credentials.default_server() or DEFAULT_BASE_URL)
    _check_address(url)
    key = (api_key or from_environment("API_KEY") or credentials.key_for(url) or "").strip()
    if not key:
        raise ConfigurationError(
            f"no API key for {url}: run `tinsmith login`, set TINSMITH_API_KEY, or pass api_key=. "
            "`manage.py up` writes one to its ready file"
        )
    if not key.isascii() or not key.isprintable():
        raise ConfigurationError("the API key holds characters no key has; was it copied whole?")
    return Settings(url, key, dict(headers or {}))


def _check_address(url: str) -> None:
    """Raise ConfigurationError for what is no server's address."""
    where = "it comes from base_url= or TINSMITH_BASE_URL"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 (raises for what is no number)
    except ValueError as error:
        raise ConfigurationError(f"{url!r} is no address: {error}; {where}") from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        near = f"; did you mean http://{url}?" if _HOST.fullmatch(url) else ""
        raise ConfigurationError(
            f"the server's address must look like http://host:port, not {url!r}{near}; {where}"
        )
    for end in ("/api/v1", "/v1", "/api"):
        if parts.path.endswith(end):
            raise ConfigurationError(
                f"the server's address goes without {end}: {url.removesuffix(end)} instead of "
                f"{url}; {where}"
            )


def tidy(url: str) -> str:
    """An address as it is compared and stored: no space around it, no ``/`` at its end."""
    return url.strip().rstrip("/")


def from_environment(name: str) -> str | None:
    """TINSMITH_<name>, else TINKER_<name>, else None; empty ones do not count."""
    return os.environ.get(f"TINSMITH_{name}") or os.environ.get(f"TINKER_{name}") or None


def cache_directory() -> Path:
    """Where downloaded tokenizers are kept: TINSMITH_CACHE_DIR, else the user's cache folder."""
    own = os.environ.get("TINSMITH_CACHE_DIR")
    if own:
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tinsmith"
