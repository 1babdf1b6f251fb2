"""What pages show of a team, read afresh or brought up to date by events: both must be the same."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from accounts.models import ApiKey, Membership
from captures.models import DatumStat, StepStat
from checkpoints.models import Checkpoint, Deleted
from core.ids import DEFAULT_PROJECT
from events.models import Kind
from events.reader import Happened
from runs.models import Metric, Parent, Rollout, Sampler, Session, TrainingRun

Rows = dict[Any, dict[str, Any]]


@dataclass
class Pages:
    """A team's state as its pages have it."""

    team_id: int
    sessions: Rows = field(default_factory=dict)
    runs: Rows = field(default_factory=dict)
    parents: Rows = field(default_factory=dict)
    samplers: Rows = field(default_factory=dict)
    checkpoints: Rows = field(default_factory=dict)
    deleted: Rows = field(default_factory=dict)
    keys: Rows = field(default_factory=dict)
    members: Rows = field(default_factory=dict)
    metrics: dict[tuple[str, str, int], float] = field(default_factory=dict)
    rollouts: dict[tuple[str, int, int, int], float | None] = field(default_factory=dict)
    steps: dict[tuple[str, int], float | None] = field(default_factory=dict)
    datums: dict[tuple[str, int, int, int], float] = field(default_factory=dict)

    async def apply(self, event: Happened) -> None:
        """Bring the pages up to date, as docs/live.md says."""
        assert event.team_id == self.team_id
        await _APPLY[Kind(event.kind)](self, event)

    async def read_metrics(self, run: str, **which: Any) -> None:
        """Read numbers of a run again."""
        async for row in Metric.objects.filter(run_id=run, **which):
            self.metrics[run, row.key, row.step] = row.value

    async def read_rollouts(self, run: str, **which: Any) -> None:
        """Read episodes of a run again."""
        async for row in Rollout.objects.filter(run_id=run, **which):
            self.rollouts[run, row.step, row.group, row.index] = row.reward

    async def read_captured(self, run: str, **which: Any) -> None:
        """Read what was captured of steps of a run again."""
        async for step in StepStat.objects.filter(run_id=run, **which):
            self.steps[run, step.step] = step.loss_sum
        async for datum in DatumStat.objects.filter(run_id=run, **which):
            self.datums[run, datum.step, datum.seq, datum.place] = datum.loss


async def read(team_id: int) -> Pages:
    """What pages show that are opened now."""
    pages = Pages(team_id)
    async for session in Session.objects.filter(team_id=team_id):
        pages.sessions[session.id] = {
            "display_name": session.display_name,
            "project_id": session.project_id or DEFAULT_PROJECT,
            "reason": session.end_reason,
            "detail": session.end_detail,
            "failed_run_id": session.failed_run_id,
        }
    async for run in TrainingRun.objects.filter(team_id=team_id).select_related(
        "session", "base_model"
    ):
        pages.runs[run.id] = {
            "session_id": run.session_id,
            "base_model": run.base_model.name,
            "rank": run.rank,
            "loaded_from": run.loaded_from,
            "reason": run.session.end_reason,
            "corrupted": run.session.failed_run_id == run.id,
        }
        await pages.read_metrics(run.id)
        await pages.read_rollouts(run.id)
        await pages.read_captured(run.id)
    async for parent in Parent.objects.filter(team_id=team_id):
        pages.parents[parent.run_id, parent.seq] = {
            "how": parent.how,
            "source": parent.source,
            "optimizer": parent.optimizer,
        }
    async for sampler in Sampler.objects.filter(team_id=team_id).select_related("base_model"):
        pages.samplers[sampler.id] = {
            "session_id": sampler.session_id,
            "base_model": sampler.base_model.name,
            "model_path": sampler.model_path,
            "run": sampler.run_id,
        }
    async for checkpoint in Checkpoint.objects.filter(team_id=team_id).live():
        pages.checkpoints[checkpoint.path] = {
            "segment": checkpoint.segment,
            "name": checkpoint.name,
            "size_bytes": checkpoint.size_bytes,
            "encrypted": checkpoint.encrypted,
            "created_at": checkpoint.created_at,
            "expires_at": checkpoint.expires_at,
            "step": checkpoint.step,
            "public": checkpoint.public,
            "run": checkpoint.run_id,
        }
    async for gone in Deleted.objects.filter(team_id=team_id).kept():
        pages.deleted[gone.pk] = {
            "path": gone.path,
            "size_bytes": gone.size_bytes,
            "deleted_at": gone.deleted_at,
            "until": gone.until,
        }
    async for member in Membership.objects.filter(team_id=team_id).select_related("user"):
        pages.members[member.user.username] = {"role": member.role}
    async for key in ApiKey.objects.filter(team_id=team_id).select_related("user"):
        pages.keys[str(key.pk)] = {
            "name": key.name,
            "masked": key.masked,
            "scopes": key.scopes,
            "expires_at": key.expires_at,
            "revoked_at": key.revoked_at,
            "role": key.role,
            "user": key.user.username if key.user else None,
        }
    return pages


def _times(data: dict[str, Any]) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value)
        if (name.endswith("_at") or name == "until") and value
        else value
        for name, value in data.items()
    }


_Apply = Callable[[Pages, Happened], Awaitable[None]]


def _enters(table: str, *, run: bool = False, **beside: Any) -> _Apply:
    """A row is there, or is another one now; what the page had of it and is not told stays."""

    async def apply(pages: Pages, event: Happened) -> None:
        of_run = {"run": event.run_id} if run else {}
        getattr(pages, table)[event.about] = {**beside, **_times(event.data), **of_run}

    return apply


def _changes(table: str, **to: Any) -> _Apply:
    """A row that is there has changed."""

    async def apply(pages: Pages, event: Happened) -> None:
        rows: Rows = getattr(pages, table)
        if event.about in rows:  # else a page that was opened later, when it was gone already
            rows[event.about] |= {**_times(event.data), **to}

    return apply


def _leaves(table: str) -> _Apply:
    async def apply(pages: Pages, event: Happened) -> None:
        getattr(pages, table).pop(event.about, None)

    return apply


async def _load(pages: Pages, event: Happened) -> None:
    told = dict(event.data)
    pages.parents[event.about, told.pop("seq")] = told


async def _delete(pages: Pages, event: Happened) -> None:
    """A checkpoint is gone from all lists but that of what can be brought back."""
    gone = pages.checkpoints.pop(event.about, None)
    if gone is not None:
        told = _times(event.data)
        number = told.pop("deleted_id")
        shown = {"path": event.about, "size_bytes": gone["size_bytes"]}
        pages.deleted[number] = {**shown, "deleted_at": told["deleted_at"], "until": told["until"]}


async def _restore(pages: Pages, event: Happened) -> None:
    told = _times(event.data)
    pages.deleted.pop(told.pop("deleted_id"), None)
    pages.checkpoints[event.about] = {**told, "run": event.run_id}


async def _purge(pages: Pages, event: Happened) -> None:
    pages.deleted.pop(event.data["deleted_id"], None)


async def _read_metrics(pages: Pages, event: Happened) -> None:
    keys = event.data["keys"]
    which = {} if keys is None else {"key__in": keys}
    span = event.data["first_step"], event.data["last_step"]
    await pages.read_metrics(event.about, step__range=span, **which)


async def _read_rollouts(pages: Pages, event: Happened) -> None:
    span = event.data["first_step"], event.data["last_step"]
    await pages.read_rollouts(event.about, step__range=span)


async def _read_captured(pages: Pages, event: Happened) -> None:
    first, last = event.data["first_step"], event.data["last_step"]
    for place in [at for at in pages.datums if at[0] == event.about and first <= at[1] <= last]:
        del pages.datums[place]
    await pages.read_captured(event.about, step__range=(first, last))


_APPLY: dict[Kind, _Apply] = {
    Kind.SESSION_BEGUN: _enters("sessions", reason=None, detail=None, failed_run_id=None),
    Kind.SESSION_MOVED: _changes("sessions"),
    Kind.SESSION_ENDED: _changes("sessions"),
    Kind.RUN_CREATED: _enters("runs", reason=None, corrupted=False),
    Kind.RUN_LOADED: _load,
    Kind.RUN_ENDED: _changes("runs"),
    Kind.SAMPLER_CREATED: _enters("samplers", run=True),
    Kind.METRICS_LOGGED: _read_metrics,
    Kind.ROLLOUTS_LOGGED: _read_rollouts,
    Kind.STEPS_CAPTURED: _read_captured,
    Kind.CHECKPOINT_SAVED: _enters("checkpoints", run=True, public=False),
    Kind.CHECKPOINT_PUBLISHED: _changes("checkpoints", public=True),
    Kind.CHECKPOINT_UNPUBLISHED: _changes("checkpoints", public=False),
    Kind.CHECKPOINT_TTL_SET: _changes("checkpoints"),
    Kind.CHECKPOINT_DELETED: _delete,
    Kind.CHECKPOINT_EXPIRED: _leaves("checkpoints"),
    Kind.CHECKPOINT_RESTORED: _restore,
    Kind.CHECKPOINT_PURGED: _purge,
    Kind.MEMBER_ADDED: _enters("members"),
    Kind.MEMBER_CHANGED: _changes("members"),
    Kind.MEMBER_REMOVED: _leaves("members"),
    Kind.KEY_CHANGED: _changes("keys"),
    Kind.KEY_CREATED: _enters("keys", revoked_at=None),
    Kind.KEY_REVOKED: _changes("keys"),
}
