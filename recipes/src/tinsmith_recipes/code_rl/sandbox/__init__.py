"""Runs Python programs that a model wrote, on the machine of a person who trusts none of them.

Each runs alone in new namespaces (users, mounts, processes, network, IPC, host name), under a list
of allowed system calls and resource limits, sees the standard library and nothing else, and leaves
nothing behind.

    async with Sandbox() as sandbox:
        outcome = await sandbox.run("print(int(input()) * 2)", stdin="21")
        assert outcome.finished and outcome.stdout == "42\\n"
"""

from .availability import Availability, available
from .client import Sandbox, SandboxUnavailable
from .outcome import Ending, Limits, Outcome

__all__ = [
    "Availability",
    "Ending",
    "Limits",
    "Outcome",
    "Sandbox",
    "SandboxUnavailable",
    "available",
]
