"""What a program records about its run: metrics and rollouts."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from tinsmith._words.mistakes import Struct

MetricValue = float | str
"""A number, or ``nan``, ``inf`` or ``-inf``, which JSON has no numbers for."""


class Rollout(Struct, frozen=True, kw_only=True):
    """One sampled episode with its reward.

    Attributes:
        group: rollouts of one prompt share a group.
        index: which of its group it is; (step, group, index) names a rollout of a run.
        prompt, completion: texts.
        prompt_tokens, completion_tokens: token ids, instead of the texts or beside them.
        reward: what it earned.
        data: anything else that JSON can hold, e.g. the parts of the reward.

    >>> Rollout(group=0, index=1, prompt="1+1=", completion="2", reward=1.0).reward
    1.0
    """

    group: int = 0
    index: int = 0
    prompt: str | None = None
    completion: str | None = None
    prompt_tokens: list[int] | None = None
    completion_tokens: list[int] | None = None
    reward: float | None = None
    data: dict[str, Any] = {}


class MetricPoint(Struct, frozen=True, kw_only=True):
    """One recorded number."""

    key: str
    step: int
    value: MetricValue
    time: datetime

    @property
    def number(self) -> float:
        """The value as a number, whichever it is."""
        return float(self.value)


class MetricsResponse(Struct, frozen=True, kw_only=True):
    """Recorded numbers, oldest first; ``cursor`` goes into the next request for what follows."""

    metrics: list[MetricPoint]
    cursor: int


class RecordedRollout(Struct, frozen=True, kw_only=True):
    """A rollout as the server keeps it."""

    step: int
    group: int
    index: int
    time: datetime
    prompt: str | None = None
    completion: str | None = None
    prompt_tokens: list[int] | None = None
    completion_tokens: list[int] | None = None
    reward: float | None = None
    data: dict[str, Any] = {}


class RolloutsResponse(Struct, frozen=True, kw_only=True):
    """A page of the rollouts of a run, in the order of step, group and index."""

    rollouts: list[RecordedRollout]
    total_count: int
