"""Runs side by side: what differs in their settings, and which metrics each of them has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runs.overviews import RunDetail

MAX_SETTINGS = 300
MAX_VALUE = 500
MAX_METRICS = 400


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting with its value in each run, in their order; None where a run has none."""

    key: str
    values: list[str | None]
    differs: bool


@dataclass(frozen=True, slots=True)
class SharedMetric:
    """A metric of some of the runs: which of them have it, in their order, and its last values."""

    key: str
    has: list[bool]
    last: list[float | None]


def settings_of(runs: Sequence[RunDetail]) -> list[Setting]:
    """All settings of some runs, those that differ first; of very many only the first."""
    told = [_settings(run) for run in runs]
    keys = list(dict.fromkeys(key for one in told for key in one))[:MAX_SETTINGS]
    found = [_setting(key, told) for key in keys]
    return sorted(found, key=lambda one: not one.differs)


def _setting(key: str, told: Sequence[Mapping[str, str]]) -> Setting:
    values = [one.get(key) for one in told]
    cut = [value and value[:MAX_VALUE] for value in values]
    return Setting(key, cut, differs=len(set(values)) > 1)


def _settings(run: RunDetail) -> dict[str, str]:
    own: dict[str, Any] = {
        "base model": run.base_model,
        "rank": run.rank,
        "seed": run.seed,
        "trained": _trained(run),
        "made from": run.loaded_from,
        "tags": ", ".join(run.tags) or None,
        "SDK": run.session.sdk_version if run.session else None,
        "project": run.session.project_id if run.session else None,
    }
    # a program's own keys stand apart, whatever they are called
    own |= {f"metadata: {key}": value for key, value in run.user_metadata.items()}
    return {key: str(value) for key, value in own.items() if value not in (None, "")}


def _trained(run: RunDetail) -> str:
    parts = {
        "attention": run.train_attn,
        "feed-forward": run.train_mlp,
        "unembedding": run.train_unembed,
    }
    return ", ".join(name for name, is_on in parts.items() if is_on)


def metrics_of(runs: Sequence[RunDetail]) -> list[SharedMetric]:
    """The metrics of some runs, those that most of them have first."""
    found = [{metric.key: metric.last_value for metric in run.metrics} for run in runs]
    keys = list(dict.fromkeys(key for one in found for key in one))
    shared = [
        SharedMetric(key, [key in one for one in found], [one.get(key) for one in found])
        for key in keys
    ]
    return sorted(shared, key=lambda one: (-sum(one.has), one.key))[:MAX_METRICS]
