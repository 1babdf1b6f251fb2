"""One client's stay at one server: the session, its heartbeat, and waiting for results.

Coroutines run on the background loop, plain methods on any thread. The session is opened by the
first thing that needs one.
"""

from __future__ import annotations

import asyncio
import atexit
import itertools
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import msgspec

from tinsmith import errors
from tinsmith._http.transport import Reply, RetryConfig, Transport
from tinsmith._session import background
from tinsmith._session.futures import APIFuture
from tinsmith._session.giving_up import GivingUp
from tinsmith._session.replies import Accepted, decode, encode_json, poll_state
from tinsmith._session.turnstile import Turnstile
from tinsmith._session.waiting import Haste, Waiting, WaitingHook, WaitingLog
from tinsmith._settings.server_config import ClientConfig
from tinsmith._settings.settings import Settings, from_environment
from tinsmith._version import __version__
from tinsmith.wire import PROTOBUF

log = logging.getLogger("tinsmith")

T = TypeVar("T")
FinishReason = Literal["success", "errored", "interrupted"]

HEARTBEAT_S = 10.0
HEARTBEAT_WARNING_S = 120.0
POLL_TIMEOUT_S = 45.0
FINISH_BUDGET_S = 3.0
LAST_WORDS_S = 10.0  # for metrics and rollouts that were not sent yet
DEFAULT_PROJECT = "default"  # every team has it


@dataclass(frozen=True)
class Description:
    """What the server is told about this client when the session is opened."""

    user_metadata: Mapping[str, Any] | None = None
    project_id: str | None = None
    display_name: str | None = None


class _SessionCreated(msgspec.Struct):
    session_id: str
    info_message: str | None = None
    warning_message: str | None = None
    error_message: str | None = None


class Session:
    """Shared by a ``ServiceClient`` and all clients made from it."""

    def __init__(
        self,
        settings: Settings,
        *,
        retry: RetryConfig | None = None,
        on_waiting: WaitingHook | None = None,
        description: Description | None = None,
        session_id: str | None = None,
    ) -> None:
        """``session_id`` joins a session that another process opened."""
        self.settings = settings
        self.config = ClientConfig()
        self.transport = Transport(settings, retry or RetryConfig(), f"tinsmith/{__version__}")
        self.waiting = WaitingLog(on_waiting)
        self.session_id = session_id
        self._description = description or Description()
        self._owner = session_id is None
        self._opening: asyncio.Task[str] | None = None
        self._heartbeat: asyncio.Task[None] | None = None
        self._sample_slots: asyncio.Semaphore | None = None
        self._giving_up: GivingUp | None = None
        self.turnstile = Turnstile()
        self._ended: str | None = None
        self._closing: APIFuture[None] | None = None
        self._running: set[Any] = set()
        self._last_words: list[Callable[[], Awaitable[None]]] = []
        self._lock = threading.Lock()
        self._numbers: dict[str, itertools.count[int]] = {}
        _sessions.add(self)

    # ---- called from any thread

    def run(self, work: Coroutine[Any, Any, T]) -> APIFuture[T]:
        """Start ``work`` on the background loop. Work of one thread starts in order."""
        if self._ended is not None:
            work.close()
            raise errors.SessionClosedError(self._ended)
        future = background.run(work)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return APIFuture(future)

    def shown(self) -> str:
        """The server, and how it stands with the session, for ``repr``."""
        if self._ended is not None:
            state = "closed"
        else:
            state = f"session {self.session_id}" if self.session_id else "no session yet"
        return f"{self.settings.base_url}, {state}"

    @property
    def project_id(self) -> str:
        """The project that things go to when none is named."""
        return self._description.project_id or from_environment("PROJECT_ID") or DEFAULT_PROJECT

    def number(self, what: str) -> int:
        """The next number of a kind of thing this session numbers: 0, 1, …"""
        with self._lock:
            return next(self._numbers.setdefault(what, itertools.count()))

    def close(self, reason: FinishReason, detail: str | None = None) -> APIFuture[None]:
        """Finish the session; the future is done when the server knows. Again is fine."""
        with self._lock:
            if self._closing is None:
                self._ended = self._ended or "this ServiceClient is closed; make a new one"
                self._closing = APIFuture(background.run(self._finish(reason, detail)))
        return self._closing

    def close_at_exit(self, error: BaseException | None) -> APIFuture[None] | None:
        """Close, unless a program that ends well left work behind that still runs."""
        if self.session_id is None or not self._owner or self._closing is not None:
            return None
        if error is None and self._running:
            log.warning(
                "the program ends while requests of session %s are still running; "
                "wait for their futures to be sure of them",
                self.session_id,
            )
            return None
        return self.close(*how_it_ended(error))

    def before_close(self, call: Callable[[], Awaitable[None]]) -> None:
        """Have ``call`` awaited, within limits, before the session is finished."""
        self._last_words.append(call)

    def check_usable(self) -> None:
        """Raise SessionClosedError when the session is over."""
        if self._ended is not None:
            raise errors.SessionClosedError(self._ended)

    # ---- the session's life

    async def open(self) -> str:
        """The session's id. The first caller opens it; the others wait for the same."""
        if self.session_id is not None and self._heartbeat is not None:
            return self.session_id
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.ensure_future(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> str:
        if self.session_id is None:
            about = self._description
            tags = from_environment("TAGS")
            request = {
                "tags": tags.split(",") if tags else [],
                "user_metadata": dict(about.user_metadata or {}),
                "sdk_version": __version__,
                "project_id": about.project_id,
                "display_name": about.display_name,
                "type": "create_session",
            }
            _, created = await asyncio.gather(
                self._fetch_config(), self.post("create_session", request, _SessionCreated)
            )
            for level in ("info", "warning", "error"):
                if message := getattr(created, f"{level}_message"):
                    getattr(log, level)("%s", message)
            self.session_id = created.session_id
        else:
            await self._fetch_config()
        self._heartbeat = asyncio.ensure_future(self._beat(self.session_id))
        return self.session_id

    async def _fetch_config(self) -> None:
        """Ask for the server's limits; a server without the route has the usual ones."""
        try:
            self.config = await self.post(
                "client/config", {"sdk_version": __version__}, ClientConfig
            )
        except errors.NotFoundError:
            log.debug("the server has no client/config; using the usual limits")

    async def _beat(self, session_id: str) -> None:
        """Keep the session alive until the server says it is over."""
        body = {"session_id": session_id, "type": "session_heartbeat"}
        content = msgspec.json.encode(body)
        once = replace(self.transport.retry, budget_s=0.0, rate_limit_budget_s=0.0)
        last = warned = time.monotonic()
        while True:
            await asyncio.sleep(HEARTBEAT_S)
            try:
                await self.transport.call(
                    "POST", "session_heartbeat", content, timeout_s=HEARTBEAT_S, retry=once
                )
                last = warned = time.monotonic()
            except (errors.GoneError, errors.NotFoundError) as error:
                self._ended = f"the server ended session {session_id}: {error.detail}"
                log.error("%s", self._ended)
                return
            except errors.TinsmithError as error:
                now = time.monotonic()
                if now - warned >= HEARTBEAT_WARNING_S:
                    warned = now
                    log.warning("no heartbeat of the session for %.0f s: %s", now - last, error)

    async def _finish(self, reason: str, detail: str | None) -> None:
        """Tell the server that nothing more will come, and close the connections."""
        if self._heartbeat is not None:
            self._heartbeat.cancel()
        try:
            await self._say_last_words()
            if self.session_id is not None and self._owner:
                await self.post(
                    f"sessions/{self.session_id}/finish",
                    {"reason": {"type": reason}, "detail": detail},
                    None,
                    retry=replace(self.transport.retry, budget_s=FINISH_BUDGET_S),
                )
        finally:
            await self.transport.close()

    async def _say_last_words(self) -> None:
        waiting = asyncio.gather(*[call() for call in self._last_words], return_exceptions=True)
        try:
            await asyncio.wait_for(waiting, LAST_WORDS_S)
        except asyncio.TimeoutError:
            log.warning("what was logged last could not be sent within %.0f s", LAST_WORDS_S)

    # ---- requests

    async def post(
        self,
        path: str,
        body: Mapping[str, Any] | bytes,
        kind: type[T] | None,
        *,
        content_type: str = "application/json",
        retry: RetryConfig | None = None,
    ) -> T:
        """POST ``body`` (None values of a mapping are left out); the reply as a ``kind``."""
        if not isinstance(body, bytes):
            body = encode_json(body)
        reply = await self.transport.call(
            "POST", path, body, content_type=content_type, retry=retry
        )
        return decode(reply, kind, path)

    async def get(self, path: str, kind: type[T]) -> T:
        """GET; the reply as a ``kind``."""
        return decode(await self.transport.call("GET", path), kind, path)

    async def ask(
        self,
        method: str,
        path: str,
        kind: type[T] | None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> T:
        """Any other request: ``body``, if there is one, goes as JSON as it is."""
        content = b"" if body is None else msgspec.json.encode(body)
        reply = await self.transport.call(method, path, content, extra_headers=headers)
        return decode(reply, kind, path)

    async def submit(
        self,
        path: str,
        body: Mapping[str, Any] | bytes,
        *,
        content_type: str = "application/json",
        retry: RetryConfig | None = None,
    ) -> Accepted:
        """Hand in a request; its result is waited for with `result`."""
        return await self.post(path, body, Accepted, content_type=content_type, retry=retry)

    async def result(
        self, request_id: str, *, target: str, kind: str, binary: bool = False, ended: bool = False
    ) -> Reply:
        """Wait for a submitted request, as long as it takes.

        ``ended`` says that the server has told of its end: it answers at once then.

        Raises:
            RequestFailedError: the request failed.
            APIStatusError, APIConnectionError: the server does not know it, or is away for longer
                than the retry budget.
        """
        body = msgspec.json.encode({"request_id": request_id, "allow_metadata_only": False})
        accept = PROTOBUF if binary else "application/json"
        started = time.monotonic()
        haste = Haste()
        while True:
            reply = await self.transport.call(
                "POST",
                "retrieve_future",
                body,
                accept=accept,
                timeout_s=POLL_TIMEOUT_S,
                poll=not ended,
            )
            if reply.status != 408 and reply.content_type == PROTOBUF:
                return reply
            state = poll_state(reply, request_id)
            if state is None:
                if binary:
                    raise errors.APIResponseValidationError(
                        f"the server sent the result of {kind} as {reply.content_type}, "
                        "not as protobuf; it is too old for this client"
                    )
                return reply
            seconds = time.monotonic() - started
            self.waiting.notice(Waiting(target, kind, state[0], state[1], seconds))
            await haste.pause()

    async def poll(self, path: str, body: Mapping[str, Any], kind: type[T]) -> T | None:
        """A long poll's reply as a ``kind``; None when the server has no news."""
        reply = await self.transport.call(
            "POST", path, encode_json(body), timeout_s=POLL_TIMEOUT_S, poll=True
        )
        return None if reply.status == 408 else decode(reply, kind, path)

    def give_up(self, submission: asyncio.Future[Accepted]) -> None:
        """Have the server stop what was submitted, a sample; nobody waits for that."""
        if self._giving_up is None:
            self._giving_up = GivingUp(self)
        self._giving_up.give_up(submission)

    @property
    def sample_slots(self) -> asyncio.Semaphore:
        """Bounds the samples in flight: their memory here, and sockets where each has a poll."""
        if self._sample_slots is None:
            self._sample_slots = asyncio.Semaphore(self.config.sample_max_concurrent_requests)
        return self._sample_slots


def how_it_ended(error: BaseException | None) -> tuple[FinishReason, str | None]:
    """What the session's record says of a block or program that ended with `error`."""
    if error is None:
        return "success", None
    words = f"{type(error).__name__}: {error}"[:1000]
    return ("errored" if isinstance(error, Exception) else "interrupted"), words


_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_process = os.getpid()


@atexit.register
def _close_all() -> None:
    """Free the server's room when a program ends."""
    if os.getpid() != _process:
        return  # a forked child: the sessions are its parent's
    error = getattr(sys, "last_value", None)
    for closing in [session.close_at_exit(error) for session in list(_sessions)]:
        if closing is not None:
            try:
                closing.result(FINISH_BUDGET_S + (LAST_WORDS_S if error is None else 0.0))
            except Exception as failure:
                log.debug("a session could not be finished: %s", failure)
