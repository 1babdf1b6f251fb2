"""What a program records about its run: metrics and rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tinsmith._words.mistakes import Struct
from tinsmith.types.results import SampledSequence

MetricValue = float | str
"""A number, or ``nan``, ``inf`` or ``-inf``, which JSON has no numbers for."""


class Rollout(Struct, frozen=True, kw_only=True):
    """One sampled episode with its reward.

    Attributes:
        group: rollouts of one prompt share a group.
        index: which of its group it is; (step, group, index) names a rollout of a run.
        prompt, completion: texts.
        prompt_tokens, completion_tokens: token ids, instead of the texts or beside them.
        sequences: what was sampled in it, in order: the ``sequence_id`` of each sample, or the
            samples themselves. Sampling clients made with ``record_stability_info=True`` have the
            server keep the tokens, so that they need not be sent again; log within a week.
        reward: what it earned.
        components: parts of the reward by name.
        tags: words to find it by.
        data: anything else that JSON can hold.

    >>> Rollout(group=0, index=1, prompt="1+1=", completion="2", reward=1.0).reward
    1.0
    """

    group: int = 0
    index: int = 0
    prompt: str | None = None
    completion: str | None = None
    prompt_tokens: list[int] | None = None
    completion_tokens: list[int] | None = None
    sequences: Sequence[str | SampledSequence] = ()
    reward: float | None = None
    components: dict[str, float] = {}
    tags: Sequence[str] = ()
    data: dict[str, Any] = {}


class LoggedSequence(Struct, frozen=True, kw_only=True):
    """What was sampled as ``id``: tokens and the logprob of each, [N]; None: no longer kept."""

    id: str
    tokens: list[int] | None = None
    logprobs: list[float] | None = None


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
    sequences: list[LoggedSequence] = []
    reward: float | None = None
    components: dict[str, MetricValue] = {}
    tags: list[str] = []
    data: dict[str, Any] = {}


class RolloutsResponse(Struct, frozen=True, kw_only=True):
    """A page of the rollouts of a run, in the order of step, group and index."""

    rollouts: list[RecordedRollout]
    total_count: int
