"""The processes of a live stack, and how many clients they have."""

from __future__ import annotations

import psutil

from tests.conftest import LiveStack


def web_process(stack: LiveStack) -> psutil.Process:
    """The process that answers."""
    children = psutil.Process(stack.process.pid).children(recursive=True)
    found = [child for child in children if "uvicorn" in " ".join(child.cmdline())]
    assert found, [child.cmdline() for child in children]
    return max(found, key=lambda child: child.memory_info().rss)


def connections(process: psutil.Process) -> int:
    """How many clients a web process has accepted."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in process.net_connections("tcp"))
