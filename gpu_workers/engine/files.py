"""The engine's file thread: reads and writes in the order asked for, so that training never waits.

One thread, so that a load sees the save before it and a parked run the state it was parked in.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

logger = logging.getLogger(__name__)

T = TypeVar("T")


class FileThread:
    """Runs file work behind the engine."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="engine-files")

    def submit(
        self, work: Callable[[], T], then: Callable[[T | Exception], None] = lambda result: None
    ) -> None:
        """Do `work` after all before it, then call `then` with its result or what it raised."""
        self._pool.submit(_run, work, then)

    def remove(self, directory: Path) -> None:
        """Delete a folder, after all work before."""
        self.submit(lambda: shutil.rmtree(directory, ignore_errors=True))

    def close(self) -> None:
        """Finish everything asked for, then end the thread."""
        self._pool.shutdown(wait=True)


def _run(work: Callable[[], T], then: Callable[[T | Exception], None]) -> None:
    try:
        result: T | Exception = work()
    except Exception as error:
        result = error
    try:
        then(result)
    except Exception:
        logger.exception("a callback of the engine failed")
