"""Metrics and rollouts that programs record about their runs, on the raw pool.

Both are written by whole batches and are idempotent: what is sent twice is kept once, and the last
value counts. PostgreSQL's texts hold every character but NUL, which models of bytes do sample: it
is kept as `NUL_KEPT_AS`, and said so, rather than lose a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
import psycopg
from psycopg.rows import class_row

from accounts import rights
from accounts.rights import Right
from captures import curves
from core import database
from core.errors import BadRequest, NotFound
from events import services as events
from runs import sequences, telling
from runs.sequences import Sampled

if TYPE_CHECKING:
    from accounts.actors import Actor


MAX_KEY = 200
NUL_KEPT_AS = "\\u0000"


@dataclass(frozen=True, slots=True)
class Kept:
    """How many different rows are kept.

    `escaped`: the places in the batch of those with NUL characters; `unknown`: of those that name
    sequences of which nothing is recorded.
    """

    rows: int
    escaped: list[int]
    unknown: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class MetricValue:
    """A number of a step."""

    key: str
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class RecordedMetric:
    """A number as it is kept; `id` grows in the order of arrival."""

    id: int
    key: str
    step: int
    value: float
    time: datetime


@dataclass(frozen=True, slots=True)
class RolloutValue:
    """An episode of a step. `sequences` names what was sampled in it, in order."""

    step: int
    group: int
    index: int
    prompt: str | None
    completion: str | None
    prompt_tokens: list[int] | None
    completion_tokens: list[int] | None
    sequences: list[str]
    reward: float | None
    components: dict[str, float | str]
    tags: list[str]
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class RecordedRollout(RolloutValue):
    """An episode as it is kept."""

    time: datetime


@dataclass(frozen=True, slots=True)
class ReadRollout:
    """An episode with the sequences that it names."""

    rollout: RecordedRollout
    sequences: list[Sampled]


# of a `RecordedRollout`
COLUMNS = """
step, "group", index, prompt, completion, prompt_tokens, completion_tokens,
coalesce(sequences, '{}') AS sequences, reward, components, coalesce(tags, '{}') AS tags, data, time
"""
# A number that is recorded again arrives again: who reads on from an id then sees it. The run is
# locked, so that of its numbers none becomes visible after one with a greater id.
_ADD_METRICS = """
INSERT INTO runs_metric (run_id, team_id, key, step, value)
SELECT %s, %s, * FROM unnest(%s::text[], %s::bigint[], %s::float8[])
ON CONFLICT (run_id, key, step) DO UPDATE
    SET id = excluded.id, value = excluded.value, time = now()
"""
_ADD_ROLLOUTS = """
INSERT INTO runs_rollout (run_id, team_id, step, "group", index, prompt, completion,
                          prompt_tokens, completion_tokens, sequences, reward, components,
                          tags, data)
SELECT %s, %s, step, "group", index, prompt, completion,
       prompt_tokens, completion_tokens, sequences, reward, components, tags, data
FROM jsonb_to_recordset(%s::jsonb) AS given(
    step bigint, "group" bigint, index bigint, prompt text, completion text,
    prompt_tokens integer[], completion_tokens integer[], sequences text[], reward float8,
    components jsonb, tags text[], data jsonb)
ON CONFLICT (run_id, step, "group", index) DO UPDATE SET
    prompt = excluded.prompt, completion = excluded.completion,
    prompt_tokens = excluded.prompt_tokens, completion_tokens = excluded.completion_tokens,
    sequences = excluded.sequences, reward = excluded.reward, components = excluded.components,
    tags = excluded.tags, data = excluded.data, time = now()
"""


async def record_metrics(*, actor: Actor, run_id: str, values: Sequence[MetricValue]) -> Kept:
    """Keep numbers of one of the team's runs.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such run in the actor's team. BadRequest: a name is too long with its NUL
            characters escaped, or is what the platform captures itself.
    """
    rights.require(actor, Right.RECORD_METRICS)
    # One statement may touch a row once; the same order everywhere keeps writers from deadlocks
    latest = {(storable(value.key), value.step): value.value for value in values}
    if any(len(key) > MAX_KEY for key, _ in latest):
        raise BadRequest(
            f"a metric's name may have {MAX_KEY} characters, of which a NUL character takes "
            f"{len(NUL_KEPT_AS)}"
        )
    if taken := sorted({key for key, _ in latest} & curves.EXPRESSIONS.keys()):
        raise BadRequest(
            f"{taken[0]!r} is what the platform itself captures of every step; choose another name"
        )
    names = sorted(latest)
    async with events.transaction() as conn:
        await _require_run(conn, actor, run_id, lock="FOR NO KEY UPDATE")
        await conn.execute(
            _ADD_METRICS,
            (
                run_id,
                actor.team_id,
                [key for key, _ in names],
                [step for _, step in names],
                [latest[name] for name in names],
            ),
        )
        told = telling.metrics_logged(run_id, team_id=actor.team_id, names=names)
        await events.write(conn, *told)
    return Kept(len(names), [place for place, value in enumerate(values) if "\0" in value.key])


async def record_rollouts(*, actor: Actor, run_id: str, values: Sequence[RolloutValue]) -> Kept:
    """Keep episodes of one of the team's runs.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such run in the actor's team.
        BadRequest: `data` is nested too deeply, or holds a number too large for the database.
    """
    rights.require(actor, Right.RECORD_ROLLOUTS)
    given = [_as_json(value) for value in values]
    try:
        rows = [storable(row) for row in given]
    except RecursionError:
        raise BadRequest("data is nested too deeply") from None
    escaped = [place for place, row in enumerate(rows) if row != given[place]]
    latest = {(row["step"], row["group"], row["index"]): row for row in rows}
    rows = [latest[name] for name in sorted(latest)]
    try:
        async with events.transaction() as conn:
            await _require_run(conn, actor, run_id)
            named = [value.sequences for value in values]
            unknown = await sequences.keep(conn, actor=actor, run_id=run_id, named=named)
            await conn.execute(
                _ADD_ROLLOUTS, (run_id, actor.team_id, msgspec.json.encode(rows).decode())
            )
            steps = [step for step, _, _ in latest]
            told = telling.rollouts_logged(run_id, team_id=actor.team_id, steps=steps)
            await events.write(conn, *told)
    except psycopg.DataError as error:
        raise BadRequest(f"the rollouts cannot be kept: {error.diag.message_primary}") from None
    return Kept(len(rows), escaped, unknown)


async def list_metrics(
    *, actor: Actor, run_id: str, keys: Sequence[str], after: int, limit: int
) -> list[RecordedMetric]:
    """Numbers that arrived after the one with id `after`, oldest first; no keys means all.

    Raises:
        NotFound: no such run in the actor's team.
    """
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(RecordedMetric)) as cursor,
    ):
        await _require_run(conn, actor, run_id)
        await cursor.execute(
            """
            SELECT id, key, step, value, time FROM runs_metric
            WHERE run_id = %(run)s AND id > %(after)s
              AND (%(keys)s::text[] = '{}' OR key = ANY(%(keys)s::text[]))
            ORDER BY id LIMIT %(limit)s
            """,
            {"run": run_id, "after": after, "keys": storable(list(keys)), "limit": limit},
        )
        return await cursor.fetchall()


async def list_rollouts(
    *, actor: Actor, run_id: str, step: int | None, limit: int, offset: int
) -> tuple[list[ReadRollout], int]:
    """A page of a run's episodes by step, group and index, and how many there are in all.

    Raises:
        NotFound: no such run in the actor's team.
    """
    chosen = "run_id = %s AND (%s::bigint IS NULL OR step = %s)"
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(RecordedRollout)) as cursor,
    ):
        await _require_run(conn, actor, run_id)
        await cursor.execute(
            f"SELECT {COLUMNS} FROM runs_rollout WHERE {chosen}"
            ' ORDER BY step, "group", index LIMIT %s OFFSET %s',
            (run_id, step, step, limit, offset),
        )
        rollouts = await cursor.fetchall()
        counted = await conn.execute(
            f"SELECT count(*) FROM runs_rollout WHERE {chosen}", (run_id, step, step)
        )
        row = await counted.fetchone()
        names = [name for rollout in rollouts for name in rollout.sequences]
        kept = await sequences.read(conn, run_id=run_id, names=names)
    assert row is not None
    return [
        ReadRollout(found, [kept.get(name, Sampled(name)) for name in found.sequences])
        for found in rollouts
    ], row[0]


async def _require_run(
    conn: database.Connection, actor: Actor, run_id: str, lock: str = ""
) -> None:
    found = await conn.execute(
        f"SELECT 1 FROM runs_trainingrun WHERE id = %s AND team_id = %s {lock}",
        (run_id, actor.team_id),
    )
    if await found.fetchone() is None:
        raise NotFound(f"there is no training run {run_id}")


def storable(value: Any) -> Any:
    """A JSON value with its NUL characters escaped."""
    if isinstance(value, str):
        return value.replace("\0", NUL_KEPT_AS)
    if isinstance(value, list):
        return [storable(item) for item in value]
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    return value


def _as_json(value: RolloutValue) -> dict[str, Any]:
    """A row for `jsonb_to_recordset`, whose floats may be texts: JSON has no number for nan."""
    row = {name: getattr(value, name) for name in RolloutValue.__slots__}
    row["reward"] = None if value.reward is None else repr(value.reward)
    return row
