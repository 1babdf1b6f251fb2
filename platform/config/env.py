"""The settings that come from outside: the environment, and the data folder of `manage.py up`."""

import json
import os
import secrets
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = Path(__file__).resolve().parents[2]


def shipped(name: str) -> Path:
    """A folder beside the code: of the checkout, or the copy of it that a wheel has."""
    in_wheel = Path(__file__).with_name("shipped") / name
    return in_wheel if in_wheel.exists() else REPOSITORY / name


class BadEnvironment(Exception):
    """An environment variable holds something that cannot be used."""


def text(name: str, default: str = "") -> str:
    """The variable's text; an empty variable counts as unset."""
    return os.environ.get(name, "").strip() or default


def flag(name: str, default: bool = False) -> bool:
    """The variable as yes or no."""
    value = text(name).lower()
    if value in {"", "0", "1", "false", "true", "no", "yes", "off", "on"}:
        return default if not value else value in {"1", "true", "yes", "on"}
    raise BadEnvironment(f"{name}={value!r}: use 1 or 0")


def number(name: str, default: int, *, least: int | None = None) -> int:
    """The variable as a whole number, not below `least`."""
    value = text(name)
    try:
        found = int(value) if value else default
    except ValueError:
        raise BadEnvironment(f"{name}={value!r}: use a whole number") from None
    if least is not None and found < least:
        raise BadEnvironment(f"{name}={value!r}: use a whole number from {least} on")
    return found


def words(name: str, default: str = "") -> list[str]:
    """The variable as a list, separated by commas."""
    return [word.strip() for word in text(name, default).split(",") if word.strip()]


def origins(name: str) -> list[str]:
    """The variable as origins of web pages, `https://host[:port]` each, or `*` for all."""
    found = words(name)
    for origin in found:
        parts = urlsplit(origin)
        whole = f"{parts.scheme}://{parts.netloc}"
        if origin != "*" and (parts.scheme not in {"http", "https"} or origin != whole):
            raise BadEnvironment(
                f"{name}: {origin!r} is no origin: use https://host or https://host:port, or *"
            )
    return found


def data_folder() -> Path:
    """Where this installation keeps its data (TINSMITH_DATA_DIR, else `data` in the checkout)."""
    return Path(text("TINSMITH_DATA_DIR", str(REPOSITORY / "data"))).expanduser().absolute()


def service_urls(folder: Path) -> dict[str, str]:
    """The addresses of the embedded services that `up` last started on the folder, if any."""
    try:
        return dict(json.loads((folder / "services.json").read_text()))
    except (OSError, ValueError):
        return {}


def database_url(folder: Path) -> str:
    """PostgreSQL's address as libpq takes it: DATABASE_URL, else the folder's embedded server."""
    found = text("DATABASE_URL") or service_urls(folder).get("database_url", "")
    return found or "postgresql://tinsmith@localhost/tinsmith"


def valkey_url(folder: Path) -> str:
    """Valkey's address: VALKEY_URL, else the folder's embedded server."""
    found = text("VALKEY_URL") or service_urls(folder).get("valkey_url", "")
    return found or "redis://localhost:6379/0"


def broker_url(url: str) -> str:
    """A Valkey address in the words Celery has for it (`unix://` sockets, `valkey://`)."""
    for ours, theirs in (("unix://", "redis+socket://"), ("valkey", "redis")):
        if url.startswith(ours):
            return theirs + url[len(ours) :]
    return url


def secret_key(folder: Path) -> str:
    """Django's signing key: TINSMITH_SECRET_KEY, else the data folder's, else a passing one."""
    key = text("TINSMITH_SECRET_KEY")
    if key:
        return key
    try:
        return (folder / "secret_key").read_text().strip() or secrets.token_urlsafe(48)
    except OSError:
        return secrets.token_urlsafe(48)


def own_hosts(public_url: str) -> list[str]:
    """The host names that this machine's users and the public address have for us."""
    public = urlsplit(public_url).hostname
    return ["localhost", "127.0.0.1", "[::1]", *([public] if public else [])]


def django_database(url: str) -> dict[str, object]:
    """A PostgreSQL address as Django's DATABASES entry; other query parameters become OPTIONS."""
    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"}:
        raise BadEnvironment(f"DATABASE_URL starts with {parts.scheme!r}: use postgresql://")
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "tinsmith",
        "USER": unquote(parts.username or query.pop("user", "")),
        "PASSWORD": unquote(parts.password or query.pop("password", "")),
        "HOST": query.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": query.pop("port", "") or str(parts.port or ""),
        "OPTIONS": query,
    }
