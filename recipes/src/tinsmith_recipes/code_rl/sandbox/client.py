"""Run untrusted programs, many at once, from an event loop."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import reading
from .outcome import Limits, Outcome

_LENGTH = struct.Struct("!I")
_MOST_BYTES = 1 << 20  # of a program with all its files
_GRACE_S = 30.0  # for the start of a program on a busy machine
_START = "import sys; sys.path.insert(0, {folder!r}); from jail.warden import main; main()"


class SandboxUnavailable(OSError):
    """This machine cannot keep programs apart; the message says what is missing."""


class Sandbox:
    """Runs Python programs that nobody has read, each alone in a jail of its own.

    `concurrency` programs run at once (default: one a processor), others wait. Use it as an async
    context manager, in one event loop.
    """

    def __init__(self, concurrency: int | None = None) -> None:
        self._free = asyncio.Semaphore(concurrency or os.cpu_count() or 1)
        self._starting = asyncio.Lock()
        self._control: socket.socket | None = None
        self._warden: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.check()
        return self

    async def check(self) -> None:
        """Run a program of one line; raises `SandboxUnavailable` with the reason if that fails."""
        outcome = await self.run("print(6 * 7)")
        if outcome.stdout != "42\n":
            said = outcome.last_lines() or outcome.why
            raise SandboxUnavailable(
                f"The sandbox cannot run this Python: {outcome.ending}: {said}"
            )

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def run(
        self,
        program: str,
        stdin: str = "",
        limits: Limits | None = None,
        files: dict[str, str] | None = None,
    ) -> Outcome:
        """Run a program and tell how it ended.

        `files` lie beside it in /box, where nothing can be written. Raises `SandboxUnavailable`
        where the kernel lacks what is needed, and ValueError for more than 1 MiB of text.
        """
        limits = limits or Limits()
        texts = {**(files or {}), "program.py": program, "input": stdin}
        request = json.dumps({"files": texts, "bounds": asdict(limits)}).encode()
        if len(request) > _MOST_BYTES:
            raise ValueError(
                f"a program with its input has {len(request)} bytes; 1 MiB is the most"
            )
        async with self._free:
            result = await self._ask(request, limits.wall_seconds + _GRACE_S)
        if "refused" in result or "broken" in result:
            raise SandboxUnavailable(reading.refusal(result))
        return reading.outcome(result, limits)

    async def close(self) -> None:
        """End everything that runs."""
        control, warden, self._control, self._warden = self._control, self._warden, None, None
        if control is not None:
            control.close()
        if warden is not None:
            await warden.wait()

    async def _ask(self, request: bytes, within_s: float) -> dict[str, Any]:
        ours, theirs = socket.socketpair()
        with theirs:
            control = await self._connected()
            try:
                socket.send_fds(control, [b"+"], [theirs.fileno()])
            except OSError as error:
                ours.close()
                raise SandboxUnavailable(f"The sandbox's warden has ended: {error}.") from error
        reader, writer = await asyncio.open_connection(sock=ours)
        try:
            async with asyncio.timeout(within_s):
                writer.write(_LENGTH.pack(len(request)) + request)
                return await _message(reader)
        except TimeoutError:
            return {"broken": f"a program was not told of for {within_s:g} s"}
        except asyncio.IncompleteReadError:
            return {"broken": "a supervisor ended before it answered"}
        finally:
            writer.close()  # which ends the program, if it still runs
            with suppress(OSError):
                await writer.wait_closed()

    async def _connected(self) -> socket.socket:
        async with self._starting:
            if self._warden is not None and self._warden.returncode is not None:
                await self.close()  # somebody killed it: start another
            if self._control is None:
                await self._start()
            assert self._control is not None
            return self._control

    async def _start(self) -> None:
        if sys.platform != "linux":
            raise SandboxUnavailable("The sandbox needs Linux: it is made of Linux namespaces.")
        ours, theirs = socket.socketpair()
        command = [_interpreter(), "-I", "-S", "-B", "-c"]
        command += [_START.format(folder=str(Path(__file__).parent)), str(theirs.fileno())]
        nothing = asyncio.subprocess.DEVNULL
        with theirs:
            self._warden = await asyncio.create_subprocess_exec(
                *command,
                stdin=nothing,
                stdout=nothing,
                stderr=nothing,
                env={},
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a Ctrl-C is ours to handle
            )
        self._control = ours
        ours.setblocking(False)
        told = await _read_once(ours)
        if "ready" not in told:
            await self.close()
            raise SandboxUnavailable(reading.refusal(told))
        ours.settimeout(_GRACE_S)  # the warden only forks: it takes what it is sent at once


def _interpreter() -> str:
    """The Python below a virtual environment."""
    return getattr(sys, "_base_executable", None) or sys.executable


async def _message(reader: asyncio.StreamReader) -> dict[str, Any]:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    message: dict[str, Any] = json.loads(await reader.readexactly(length))
    return message


async def _read_once(control: socket.socket) -> dict[str, Any]:
    """The warden's first message: whether it is ready."""
    loop = asyncio.get_running_loop()
    text = b""
    while len(text) < 4 or len(text) < 4 + _LENGTH.unpack(text[:4])[0]:
        part = await loop.sock_recv(control, 4096)
        if not part:
            return {"broken": "the warden ended at its start"}
        text += part
    message: dict[str, Any] = json.loads(text[4:])
    return message
