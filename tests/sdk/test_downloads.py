"""A download whose connection breaks goes on where it was, and never mixes two versions."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tinsmith import errors
from tinsmith._http import downloads

CONTENT = os.urandom(5_000_000)
OTHER = os.urandom(4_000_000)
Answer = Callable[[BaseHTTPRequestHandler], None]


class Server(ThreadingHTTPServer):
    """Answers each request as the test says, and keeps what was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Answer] = []
        self.asked: list[tuple[str | None, str | None]] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}/x"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server

    def do_GET(self) -> None:
        """Answer."""
        self.server.asked.append((self.headers["Range"], self.headers["If-Range"]))
        self.server.answers.pop(0)(self)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def send(
    content: bytes, *, version: str = '"v1"', upto: int | None = None, ranges: bool = True
) -> Answer:
    """Send what is asked for, cut off after `upto` bytes."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers["Range"] if ranges else None
        start = 0
        if asked and handler.headers["If-Range"] == version:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            handler.send_response(200)
        if version:
            handler.send_header("ETag", version)
        handler.send_header("Content-Length", str(len(content) - start))
        handler.end_headers()
        handler.wfile.write(content[start:][:upto])

    return answer


def refuse(status: int) -> Answer:
    """Refuse."""
    return lambda handler: handler.send_error(status)


def hang_up(handler: BaseHTTPRequestHandler) -> None:
    """Say nothing at all."""
    handler.connection.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """The server; nobody waits long between attempts."""
    monkeypatch.setattr(downloads, "PAUSE_S", 0.001)
    with Server() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def fetch(server: Server, tmp_path: Path, *answers: Answer) -> bytes:
    """Download through these answers, one after another."""
    server.answers = list(answers)
    seen: list[int] = []
    target = tmp_path / "file"
    size = downloads.fetch_file(server.url, target, lambda done, total: seen.append(done))
    content = target.read_bytes()
    assert len(content) == size == seen[-1]
    assert not server.answers
    return content


def test_a_cut_download_goes_on_where_it_was(server: Server, tmp_path: Path) -> None:
    cut = send(CONTENT, upto=1_500_000)
    content = fetch(server, tmp_path, cut, cut, refuse(503), hang_up, send(CONTENT))
    assert content == CONTENT
    assert [asked for asked, _ in server.asked] == [
        None,
        "bytes=1500000-",
        "bytes=3000000-",
        "bytes=3000000-",
        "bytes=3000000-",
    ]
    assert server.asked[1][1] == '"v1"'


def test_another_version_is_fetched_from_its_beginning(server: Server, tmp_path: Path) -> None:
    answers = send(CONTENT, upto=3_000_000), send(OTHER, version='"v2"')
    assert fetch(server, tmp_path, *answers) == OTHER


@pytest.mark.parametrize("version", ["", '"v1"'])
def test_a_server_without_ranges_is_asked_for_everything_again(
    server: Server, tmp_path: Path, version: str
) -> None:
    answers = send(CONTENT, version=version, upto=10), send(OTHER, version=version, ranges=False)
    assert fetch(server, tmp_path, *answers) == OTHER


def test_it_is_given_up_when_nothing_comes_any_more(server: Server, tmp_path: Path) -> None:
    answers = [send(CONTENT, upto=100), *[hang_up] * downloads.ATTEMPTS]
    with pytest.raises(errors.APIConnectionError, match="after 100 of 5000000 bytes"):
        fetch(server, tmp_path, *answers)


def test_a_refusal_is_not_asked_again(server: Server, tmp_path: Path) -> None:
    with pytest.raises(errors.APIStatusError):
        fetch(server, tmp_path, send(CONTENT, upto=100), refuse(410))
    assert len(server.asked) == 2
