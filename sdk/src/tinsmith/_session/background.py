"""The one thread, with the one event loop, on which all clients of a process talk to servers.

User code may be synchronous or run any loop of its own; requests, long polls and heartbeats live
here.
The thread is a daemon: it never keeps a program from ending.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def loop() -> asyncio.AbstractEventLoop:
    """The loop; its thread is started at first use."""
    global _loop
    with _lock:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            thread = threading.Thread(target=_loop.run_forever, name="tinsmith", daemon=True)
            thread.start()
        return _loop


def run(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Start a coroutine on the loop. Coroutines of one thread start in the order of their calls."""
    return asyncio.run_coroutine_threadsafe(work, loop())


def is_here() -> bool:
    """Whether the caller is on the loop's own thread."""
    try:
        return asyncio.get_running_loop() is _loop
    except RuntimeError:
        return False


def _forget() -> None:
    """In a forked child: the parent's thread does not exist here."""
    global _loop, _lock
    _lock = threading.Lock()
    _loop = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
