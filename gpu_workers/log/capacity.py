"""How much work may be in a worker at once, and the pipe that wakes who waits for room."""

from __future__ import annotations

import contextlib
import os
import threading

from operations.claims import Claimed

MAX_OPERATIONS = 1024
MAX_BYTES = 96 * 1024 * 1024
# of results on their way into the log; while there are more, nothing is claimed
MAX_RESULT_BYTES = 128 * 1024 * 1024
# of what may be in the process, what is done again for runs that are being restored
MAX_OPERATIONS_AGAIN = 256
MAX_BYTES_AGAIN = 32 * 1024 * 1024


class Capacity:
    """How much claimed work may be in this process at once, so that its memory is bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._operations = 0
        self._bytes = 0
        self._result_bytes = 0
        # of these, what is done again for runs that are being restored
        self._operations_again = 0
        self._bytes_again = 0
        self._again_was_full = False
        self._unsettled = 0
        self._was_full = False
        self._end_wanted = False
        self.freed = Wakeup()

    def left(self) -> tuple[int, int]:
        """(operations, bytes) that may still be claimed."""
        with self._lock:
            left = self._left()
            self._was_full = min(left) <= 0
            return max(0, left[0]), max(0, left[1])

    def left_for_replay(self) -> tuple[int, int]:
        """(operations, bytes) that may still be done again: they have a share of all there is."""
        with self._lock:
            operations, in_bytes = self._left()
            operations = min(operations, MAX_OPERATIONS_AGAIN - self._operations_again)
            in_bytes = min(in_bytes, MAX_BYTES_AGAIN - self._bytes_again)
            self._again_was_full = min(operations, in_bytes) <= 0
            return max(0, operations), max(0, in_bytes)

    def _left(self) -> tuple[int, int]:
        if self._result_bytes >= MAX_RESULT_BYTES:
            return 0, 0
        return MAX_OPERATIONS - self._operations, MAX_BYTES - self._bytes

    def all_settled_or_wake(self) -> bool:
        """Whether all there was has its outcome in the log; else `freed` wakes once it has."""
        with self._lock:
            self._end_wanted = self._unsettled > 0
            return not self._end_wanted

    def hold(self) -> None:
        """Something is in hand that has no body: the restoring of a run."""
        with self._lock:
            self._unsettled += 1

    def take(self, operation: Claimed, *, again: bool = False) -> None:
        """An operation is in the process, maybe to be done `again`."""
        with self._lock:
            self._count(operation, 1, again)
            self._unsettled += 1

    def give_back(self, operation: Claimed, *, result: int = 0, again: bool = False) -> None:
        """The engine is through with it; `result` bytes are on the way into the log."""
        with self._lock:
            self._count(operation, -1, again)
            self._result_bytes += result
            wake = self._was_full or self._again_was_full
            self._was_full = self._again_was_full = False
        if wake:
            self.freed.wake()

    def _count(self, operation: Claimed, sign: int, again: bool) -> None:
        self._operations += sign
        self._bytes += sign * len(operation.body)
        if again:
            self._operations_again += sign
            self._bytes_again += sign * len(operation.body)

    def settle(self, count: int, *, results: int = 0) -> None:
        """So many have their outcome in the log, of `results` bytes together, or need none."""
        with self._lock:
            self._unsettled -= count
            self._result_bytes -= results
            wake = self._end_wanted and not self._unsettled
            self._end_wanted &= not wake
            if results and (self._was_full or self._again_was_full):
                wake, self._was_full, self._again_was_full = True, False, False
        if wake:
            self.freed.wake()


class Wakeup:
    """A pipe that `select` can wait on beside a connection."""

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    def fileno(self) -> int:
        """What to select on."""
        return self._read

    def wake(self) -> None:
        """Make the waiting select return; from any thread."""
        with contextlib.suppress(BlockingIOError):
            os.write(self._write, b"\0")

    def clear(self) -> None:
        """Forget the wakes so far."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, 4096)
