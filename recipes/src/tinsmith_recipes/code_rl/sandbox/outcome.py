"""What a program may use, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one program may use. Processor time is what decides on a busy machine, too.

    Raises ValueError for what is no bound.
    """

    cpu_seconds: int = 2  # whole seconds, as the kernel counts them
    wall_seconds: float = 20.0  # for programs that sleep or wait
    memory_bytes: int = 256 * MIB  # address space; the interpreter itself takes 20 MiB of it
    output_bytes: int = 64 * 1024  # of the output and of the errors, each
    threads: int = 8

    def __post_init__(self) -> None:
        if self.cpu_seconds < 1 or self.cpu_seconds != int(self.cpu_seconds):
            raise ValueError(f"cpu_seconds is a whole number from 1, not {self.cpu_seconds}")
        if self.memory_bytes < 64 * MIB:
            raise ValueError(f"memory_bytes is at least 64 MiB, not {self.memory_bytes}")
        for name in ("wall_seconds", "output_bytes", "threads"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is above 0, not {getattr(self, name)}")


class Ending(StrEnum):
    """How a program ended."""

    FINISHED = "finished"
    ERROR = "error"
    OVER_TIME = "over time"
    OVER_MEMORY = "over memory"
    FORBIDDEN_CALL = "forbidden call"


@dataclass(frozen=True)
class Outcome:
    """A program that was run: how it ended and why, what it wrote, what it used."""

    ending: Ending
    why: str  # one line; empty when it finished
    stdout: str
    stderr: str
    seconds: float
    cpu_seconds: float
    peak_bytes: int  # resident

    @property
    def finished(self) -> bool:
        """It ran to its end, with exit status 0."""
        return self.ending is Ending.FINISHED

    def last_lines(self, count: int = 4) -> str:
        """The last lines of its errors, as one reads a traceback."""
        return "\n".join(self.stderr.rstrip().splitlines()[-count:])
