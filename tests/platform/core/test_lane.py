"""While an answer is on its way, the lane keeps nothing of the request's body."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from django.http import HttpRequest, HttpResponse

from core import admission, lane
from core.bodies import Message, Scope
from core.lane import Lane

BODY = bytes(8 * 2**20)


async def team_one(scope: Scope) -> int:
    return 1


async def test_body_and_room_are_gone_before_the_answer_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = admission.Budget(total=10 * 2**20, per_team=10 * 2**20)
    monkeypatch.setattr(admission, "bodies", budget)
    seen: list[HttpRequest] = []

    async def view(request: HttpRequest) -> HttpResponse:
        assert len(request.body) == len(BODY)
        seen.append(request)
        return HttpResponse(b"ok")

    match = SimpleNamespace(func=view, args=(), kwargs={})
    monkeypatch.setattr(lane, "resolve", lambda path: match)
    chunks = [{"type": "http.request", "body": BODY, "more_body": False}]

    async def receive() -> Message:
        if not chunks:
            await asyncio.Event().wait()
        return chunks.pop()

    async def send(message: Message) -> None:
        assert seen[0].body == b""
        turn = await asyncio.wait_for(budget.take(2, 10 * 2**20), 1)
        budget.give_back(turn)

    headers = [(b"content-length", str(len(BODY)).encode())]
    scope = {"type": "http", "method": "POST", "path": "/x", "headers": headers}
    refused = Lane(lambda error: HttpResponse(status=error.status), team_one)
    await refused(scope | {"query_string": b""}, receive, send)
    assert len(seen) == 1
