"""The warden: one small process that forks a supervisor for every program it is asked to run.

It is started with a connected socket. First it answers whether it could set itself up; then each
byte that comes brings a connection, over which one program's request follows. It ends with the
process that started it, and with it everything that it started.
"""

from __future__ import annotations

import os
import signal
import socket
import sys

from . import kernel, namespaces, program, rules, supervisor, view
from .calls import AUDIT, MACHINE


def main() -> None:
    """Serve the socket whose descriptor is the first argument until it closes."""
    control = socket.socket(fileno=int(sys.argv[1]))
    try:
        if MACHINE not in AUDIT:
            raise kernel.Refused(f"architecture {MACHINE}", 0)
        shown = view.of_this_interpreter()
        python = program.Python(shown.python, shown.libraries, _text_of("inside.py"))
        proc = namespaces.enter_as_warden(shown)
    except kernel.Refused as refused:
        supervisor.send(control, {"refused": refused.step, "errno": refused.error})
        return
    except OSError as error:
        supervisor.send(control, {"broken": str(error)})
        return
    supervisor.send(control, {"ready": True})
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    _serve(control, proc, python, rules.program(MACHINE))


def _text_of(name: str) -> str:
    with open(os.path.join(os.path.dirname(__file__), name), encoding="utf-8") as file:
        return file.read()


def _serve(control: socket.socket, proc: int, python: program.Python, gate: bytes) -> None:
    while True:
        byte, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not byte:
            return
        connection = socket.socket(fileno=descriptors[0])
        if os.fork() == 0:
            control.close()
            supervisor.serve(connection, proc, python, gate)
            os._exit(0)
        connection.close()
