"""A log entry is one line, whatever a stranger puts into what is logged."""

from __future__ import annotations

import asyncio
import io
import logging
import logging.config
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn.config
from django.conf import settings
from django.test import Client

from core import lane
from core.lane import Lane
from tinker_api.endpoint import endpoint, refuse

FORGED = "2026-01-01 00:00:00,000 ERROR audit: everything is deleted"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """What our settings' handler writes."""
    stream = io.StringIO()
    configurator = logging.config.DictConfigurator(settings.LOGGING)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        configurator.configure_formatter(dict(settings.LOGGING["formatters"]["plain"]))
    )
    for name in settings.LOGGING["handlers"]["stderr"].get("filters", []):
        handler.addFilter(configurator.configure_filter(dict(settings.LOGGING["filters"][name])))
    logging.getLogger().addHandler(handler)
    yield stream
    logging.getLogger().removeHandler(handler)


def is_forged(text: str) -> bool:
    """Whether a line begins as if it were an entry of its own."""
    return any(line.startswith("2026-01-01") for line in text.splitlines())


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\x85", "\u2028", "\x0b", "\x1b[2K\r"])
async def test_a_path_cannot_forge_a_line(
    written: io.StringIO, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    async def breaks(call: Any, **parts: str) -> Any:
        raise RuntimeError(f"no such thing: {call.request.path}")

    view = endpoint(open_to_all=True, get=breaks)

    match = SimpleNamespace(func=view, args=(), kwargs={})
    monkeypatch.setattr(lane, "resolve", lambda path: match)

    came = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> dict[str, Any]:
        if not came:
            await asyncio.Event().wait()
        return came.pop()

    async def send(message: Any) -> None:
        assert message.get("status", 500) == 500

    async def nobody(scope: Any) -> int:
        return 0

    path = f"/api/v1/x{end}{FORGED}"
    scope = {"type": "http", "method": "GET", "path": path, "headers": [], "query_string": b""}
    await Lane(refuse, nobody)(scope, receive, send)
    text = written.getvalue()
    assert "everything is deleted" in text
    assert "Traceback" in text
    assert not is_forged(text)
    assert not any(ord(sign) < 32 and sign != "\n" for sign in text)


def test_messages_keep_their_text(written: io.StringIO) -> None:
    logging.getLogger("core").error("naïve %s", "tab\there … 好")
    assert written.getvalue().endswith("ERROR core: naïve tab\there … 好\n")


def test_requests_are_not_logged_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {name: dict(vars(logging.getLogger(name))) for name in ("uvicorn", "uvicorn.access")}
    try:
        # as uvicorn leaves it, before it loads the application
        logging.config.dictConfig(uvicorn.config.LOGGING_CONFIG)
        logging.config.dictConfig(settings.LOGGING)
        assert not logging.getLogger("uvicorn.access").hasHandlers()
        error = logging.getLogger("uvicorn.error")
        assert error.hasHandlers()
        assert error.getEffectiveLevel() == logging.WARNING
    finally:
        for name, state in kept.items():
            vars(logging.getLogger(name)).update(state)


def test_what_strangers_get_wrong_costs_a_line_and_no_traceback(written: io.StringIO) -> None:
    for name in ("evil.example", "a b"):
        assert Client().get("/", headers={"Host": name}).status_code == 400
    lines = written.getvalue().splitlines()
    assert [line.split(": ")[0].split()[-1] for line in lines] == [
        "django.security.DisallowedHost"
    ] * 2
