"""What is known of a stretch of a run's time. All moments are seconds since the epoch."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from math import inf

Interval = tuple[float, float]


class Cause(StrEnum):
    """Why a moment of a run passed. docs/timeline.md says which of several counts."""

    ENGINE = "engine"
    TEAM = "team"
    OTHERS = "others"
    QUEUE = "queue"
    FILES = "files"
    NO_WORKER = "no_worker"
    LIMITED = "limited"
    PROGRAM = "program"
    WIRE = "wire"
    UNEXPLAINED = "unexplained"


# what is done by reading and writing files; the engine itself has little to do with it
FILE_KINDS = frozenset(
    {
        "save_weights",
        "save_weights_for_sampler",
        "save_weights_external",
        "load_weights",
        "create_run_from_checkpoint",
    }
)


@dataclass(slots=True)
class Work:
    """An operation's moments; `inf` is what has not come yet.

    `ready`: when it had come and all before it. `after`: when the engine was through with the one
    before it (0: there is none). Those of one target are in order.
    """

    id: int
    target: str
    seq: int
    kind: str
    created: float
    claimed: float = inf
    began: float = inf
    ended: float = inf
    finished: float = inf
    asked: float = inf
    delivered: float = inf
    ready: float = 0.0
    after: float = 0.0

    def put_in_order(self) -> None:
        """Make every moment at least the one before it, and those that were passed over equal."""
        self.finished = min(self.finished, self.delivered)
        self.ended = min(self.ended, self.finished)
        self.began = min(self.began, self.ended)
        self.claimed = max(self.created, min(self.claimed, self.began))
        self.began = max(self.began, self.claimed)
        self.ended = max(self.ended, self.began)
        self.finished = max(self.finished, self.ended)
        self.asked = min(max(self.asked, self.created), self.delivered)
        self.delivered = max(self.delivered, self.finished)
        self.ready = min(max(self.ready, self.created), max(self.claimed, self.created))


@dataclass(frozen=True, slots=True)
class EngineTurn:
    """A stretch of the engine's time: seconds for this run, its team's others, and other teams."""

    began: float
    ended: float
    own: float = 0.0
    team: float = 0.0
    others: float = 0.0


@dataclass(slots=True)
class Facts:
    """All that happened in a stretch of time, or a little before and after it."""

    works: list[Work] = field(default_factory=list)
    turns: list[EngineTurn] = field(default_factory=list)
    delays: list[Interval] = field(default_factory=list)
    limits: list[Interval] = field(default_factory=list)
    workers: list[Interval] = field(default_factory=list)
