"""The WebSocket itself: who opens it and of what, then frames, until something ends it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl

import psycopg
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer

from core.bodies import Receive, Scope
from events.cursors import BadCursor, Cursor
from live import access, guard, tail
from live.access import Seat
from live.telling import FellBehind, Teller

log = logging.getLogger(__name__)

PATH = "/api/console/live"
OPENS_WITHIN_S = 10.0
CLOSES_WITHIN_S = 5.0

UNREADABLE, SIGNED_OUT, NOT_FOUND, FELL_BEHIND, TOO_MANY = 4400, 4401, 4404, 4408, 4429
BROKEN = 1011
_GONE = {"session": SIGNED_OUT, "team": NOT_FOUND}


class _Refused(Exception):
    """The socket is not to be; carries the code that says why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class LiveConsumer(AsyncWebsocketConsumer):
    """One socket."""

    _task: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Find out who it is and what they want to watch, and begin to tell them."""
        await self.accept()
        try:
            async with asyncio.timeout(OPENS_WITHIN_S):
                seat, run_id, after = await self._seat()
        except _Refused as refused:
            await self._end(refused.code)
            return
        except (TimeoutError, psycopg.Error) as error:
            log.warning("a socket could not be opened: %s", error)
            await self._end(TOO_MANY)
            return
        # what the session held is not needed any more, and sockets are many
        for name in ("session", "user", "cookies"):
            self.scope.pop(name, None)
        self._task = asyncio.create_task(self._tell(seat, run_id, after), name="socket")

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        """Clients have nothing to say."""
        await self._end(UNREADABLE)

    async def disconnect(self, code: int) -> None:
        """Tell nothing more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _seat(self) -> tuple[Seat, str | None, Cursor | None]:
        """Whose socket it is, of which run if of one, and what they know. Raises _Refused."""
        run_id, slug, after = _asked(self.scope)
        user, session = self.scope["user"], self.scope["session"]
        if not user.is_authenticated or not user.is_active or session.session_key is None:
            raise _Refused(SIGNED_OUT)
        team_id = await access.team_of(user_id=user.pk, run_id=run_id, slug=slug)
        if team_id is None:
            raise _Refused(NOT_FOUND)
        password = access.fingerprint(user.password)
        return Seat(session.session_key, user.pk, password, team_id), run_id, after

    async def _tell(self, seat: Seat, run_id: str | None, after: Cursor | None) -> None:
        """Tell until the client is gone or turned out."""
        task = asyncio.current_task()
        assert task is not None
        code: list[int] = []

        def turn_out(what: str) -> None:
            code.append(_GONE[what])
            task.cancel()

        guards, reader = guard.current(), tail.current()
        if not guards.seat(seat, turn_out):
            await self._end(TOO_MANY)
            return
        try:
            async with reader.watching(seat.team_id, run_id) as watcher:
                await Teller(reader, watcher, self._say, after).tell()
        except FellBehind:
            code.append(FELL_BEHIND)
        except asyncio.CancelledError:
            if not code:
                raise
        except OSError:
            return  # the client is gone
        except Exception:
            log.exception("a socket broke off")
            code.append(BROKEN)
        finally:
            guards.leave(seat, turn_out)
        await self._end(code[0])

    async def _say(self, text: str) -> None:
        await self.send(text_data=text)

    async def _end(self, code: int) -> None:
        """Close; a client that reads nothing is cut off by the connection (core/sockets.py)."""
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(CLOSES_WITHIN_S):
                await self.close(code)


def _asked(scope: Scope) -> tuple[str | None, str | None, Cursor | None]:
    """The run or the team that is asked for, and what is known of it. Raises _Refused."""
    try:
        pairs = parse_qsl(
            scope["query_string"].decode(), strict_parsing=True, errors="strict", max_num_fields=4
        )
        asked = dict(pairs)
        after = asked.pop("after", None)
        ((what, name),) = asked.items()
        if len(pairs) != len(asked) + (after is not None) or what not in {"run", "team"}:
            raise ValueError
        cursor = None if after is None else Cursor.parse(after)
    except (ValueError, BadCursor):
        raise _Refused(UNREADABLE) from None
    return (name, None, cursor) if what == "run" else (None, name, cursor)


_consumer = AuthMiddlewareStack(LiveConsumer.as_asgi())


async def application(scope: Scope, receive: Receive, send: Any) -> None:
    """Serve one socket: of pages of ours, as many as there is room for."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    guards = guard.current()
    if path != PATH or not access.is_from_here(scope) or guards.sockets >= guard.MOST_SOCKETS:
        await receive()
        await send({"type": "websocket.close"})
        return
    guards.sockets += 1
    try:
        await _consumer(scope, receive, send)
    finally:
        guards.sockets -= 1


async def shutdown() -> None:
    """Stop what all sockets share."""
    await guard.shutdown()
    await tail.shutdown()
