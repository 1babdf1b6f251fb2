"""One program from its request to its result: made, watched, ended, told.

The request comes and the result goes over one connection; when that closes, the program ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import struct
import time
from typing import Any

from . import calls, kernel, namespaces, program, view

_RECEIVE, _SEND = 0xC0502100, 0xC0182101  # ioctls of a filter's descriptor
_CONTINUE = 1
_ASKED = struct.Struct("QIIiIQ6Q")  # struct seccomp_notif
_ANSWER = struct.Struct("QqiI")  # struct seccomp_notif_resp
_READ = 1 << 16
_LENGTH = struct.Struct("!I")


def serve(connection: socket.socket, proc: int, python: program.Python, gate: bytes) -> None:
    """Run the one program that a connection asks for, and answer."""
    kernel.die_with_parent()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        asked = receive(connection)
        bounds = program.Bounds(**asked["bounds"])
        namespaces.enter_as_supervisor(proc)
        view.fill_box(asked["files"] | {program.FIRST: python.first})
        result = _Run(connection, python, bounds, gate).result()
    except kernel.Refused as refused:
        result = {"refused": refused.step, "errno": refused.error}
    except Exception as error:
        result = {"broken": f"{type(error).__name__}: {error}"}
    send(connection, result)


def receive(connection: socket.socket) -> dict[str, Any]:
    """One message; raises EOFError when the other side is gone."""
    (length,) = _LENGTH.unpack(_exactly(connection, _LENGTH.size))
    message: dict[str, Any] = json.loads(_exactly(connection, length))
    return message


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """One message; nobody may be there any more."""
    text = json.dumps(message).encode()
    with contextlib.suppress(OSError):
        connection.sendall(_LENGTH.pack(len(text)) + text)


def _exactly(connection: socket.socket, length: int) -> bytes:
    parts = bytearray()
    while len(parts) < length:
        part = connection.recv(length - len(parts))
        if not part:
            raise EOFError("the connection closed")
        parts += part
    return bytes(parts)


class _Run:
    """A program that runs; the supervisor's single thread turns around its descriptors."""

    def __init__(
        self,
        connection: socket.socket,
        python: program.Python,
        bounds: program.Bounds,
        gate: bytes,
    ) -> None:
        self.bounds = bounds
        self.connection = connection.fileno()
        self.ended_for = ""  # why the supervisor killed it
        self.call = ""  # the forbidden call it made
        self.started = False
        self.pid, outputs, heard_at = _start(python, bounds, gate)
        self.pidfd = os.pidfd_open(self.pid)
        self.gate = kernel.steal_descriptor(self.pidfd, heard_at)
        self.outputs = {descriptor: bytearray() for descriptor in outputs}

    def result(self) -> dict[str, Any]:
        """Watch until it has ended, and say how."""
        begun = time.monotonic()
        self._watch(begun + self.bounds.wall_seconds)
        _, status, used = os.wait4(self.pid, 0)
        self._read_what_is_left()
        stdout, stderr = (bytes(kept[: self.bounds.output_bytes]) for kept in self.outputs.values())
        code = os.waitstatus_to_exitcode(status)
        return {
            "ended_for": self.ended_for,
            "call": self.call,
            "code": code,
            "stdout": stdout.decode(errors="replace"),
            "stderr": stderr.decode(errors="replace"),
            "seconds": time.monotonic() - begun,
            "cpu_seconds": used.ru_utime + used.ru_stime,
            "peak_bytes": used.ru_maxrss * 1024,
        }

    def _watch(self, deadline: float) -> None:
        poll = select.poll()
        for descriptor in (*self.outputs, self.gate, self.pidfd):
            poll.register(descriptor, select.POLLIN)
        poll.register(self.connection, select.POLLIN | select.POLLRDHUP)
        while not self.ended_for:
            left = deadline - time.monotonic()
            ready = dict(poll.poll(max(0.0, left) * 1000))
            if self.gate in ready:
                self._hear(ready[self.gate], poll)
            for descriptor in ready.keys() & self.outputs.keys():
                if not self._read(descriptor):
                    poll.unregister(descriptor)
            if self.connection in ready:
                self._end("nobody waits")
            elif self.pidfd in ready and not self.ended_for:
                return
            elif time.monotonic() >= deadline:
                self._end("wall time")

    def _end(self, why: str) -> None:
        self.ended_for = why
        signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)  # with it all processes below it

    def _hear(self, events: int, poll: select.poll) -> None:
        """A call that is not on the list: the start of the program, else its end."""
        asked = bytearray(_ASKED.size)
        try:
            if not events & select.POLLIN:
                raise ProcessLookupError
            fcntl.ioctl(self.gate, _RECEIVE, asked)
        except OSError:  # it is dead, of which the pidfd tells, too
            poll.unregister(self.gate)
            return
        identifier, _, _, number, architecture, *_ = _ASKED.unpack(asked)
        called = calls.name(architecture & 0xFFFFFFFF, number & 0xFFFFFFFF)
        if called == "execve" and not self.started:
            self.started = True
            fcntl.ioctl(self.gate, _SEND, _ANSWER.pack(identifier, 0, 0, _CONTINUE))
        else:
            self.call = called
            self._end("forbidden call")

    def _read(self, descriptor: int) -> bool:
        """Keep what there is; False at the end of the stream."""
        try:
            part = os.read(descriptor, _READ)
        except BlockingIOError:
            return True
        kept = self.outputs[descriptor]
        kept += part
        if len(kept) > self.bounds.output_bytes and not self.ended_for:
            self._end("output")
        return bool(part)

    def _read_what_is_left(self) -> None:
        for descriptor, kept in self.outputs.items():
            while len(kept) <= self.bounds.output_bytes and self._read(descriptor):
                pass


def _start(
    python: program.Python, bounds: program.Bounds, gate: bytes
) -> tuple[int, tuple[int, int], int]:
    """Fork the program; gives its process, its output and errors, and its filter's number."""
    (out, out_write), (err, err_write), (line, line_write) = os.pipe(), os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        program.take_streams(out_write, err_write, line_write)
        _become_or_tell(python, bounds, gate)
    for descriptor in (out_write, err_write, line_write):
        os.close(descriptor)
    for descriptor in (out, err):
        os.set_blocking(descriptor, False)
    told = os.read(line, 4096).decode()
    os.close(line)
    if not told.strip().isdigit():
        step, _, error = told.rpartition(" ")
        raise kernel.Refused(step or "the start of a program", int(error or 0))
    return pid, (out, err), int(told)


def _become_or_tell(python: program.Python, bounds: program.Bounds, gate: bytes) -> None:
    """In the child: be the program, or say which step was refused. Never returns."""
    try:
        program.become(python, bounds, gate)
    except kernel.Refused as refused:
        os.write(program.LINE, f"{refused.step} {refused.error}".encode())
    except OSError as error:
        step = os.path.basename(error.filename or "the start")
        os.write(program.LINE, f"{step} {error.errno}".encode())
    finally:
        os._exit(127)
