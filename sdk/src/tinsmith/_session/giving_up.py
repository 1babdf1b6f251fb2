"""Tells the server which samples nobody waits for any more, so that it stops drawing them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

from tinsmith import errors
from tinsmith._session.replies import Accepted
from tinsmith._settings.server_config import DynamicConfig
from tinsmith._version import __version__

T = TypeVar("T")
log = logging.getLogger("tinsmith")

SUBMISSION_S = 10.0  # a submission that is not taken by then is withdrawn instead


class Posts(Protocol):
    """What sends requests: a session."""

    async def post(self, path: str, body: Mapping[str, Any], kind: type[T] | None) -> T:
        """POST ``body``; the reply as a ``kind``."""
        ...


class GivingUp:
    """Everything here runs on the background loop.

    Nobody waits for what it does, and a failure is only logged: a sample that goes on costs the
    server some work and the client nothing.
    """

    def __init__(self, session: Posts) -> None:
        self._session = session
        self._config = DynamicConfig()
        self._good_until = float("-inf")
        self._asking = asyncio.Lock()
        self._telling: set[asyncio.Task[Any]] = set()

    def give_up(self, submission: asyncio.Future[Accepted]) -> None:
        """Cancel a request, as soon as the server has named it."""
        task = asyncio.ensure_future(self._tell(submission))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, submission: asyncio.Future[Accepted]) -> None:
        try:
            accepted = await asyncio.wait_for(submission, SUBMISSION_S)
            if (await self._current_config()).sample_cancel_enabled:
                wanted = {"request_id": accepted.request_id}
                await self._session.post("cancel_future", wanted, None)
        except (errors.TinsmithError, asyncio.TimeoutError) as error:
            log.debug("a sample that was given up may go on: %s", error)

    async def _current_config(self) -> DynamicConfig:
        """Asked for when it is needed, which in most sessions is never."""
        async with self._asking:
            if time.monotonic() >= self._good_until:
                body = {"sdk_version": __version__}
                try:
                    self._config = await self._session.post(
                        "client/dynamic_config", body, DynamicConfig
                    )
                except errors.NotFoundError:
                    self._config = DynamicConfig()
                self._good_until = time.monotonic() + self._config.refresh_interval_sec
        return self._config
