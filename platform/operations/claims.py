"""How a worker takes operations from the log.

A run belongs to one worker at a time; its operations are claimed strictly in seq order and only
without gaps. Samples belong to nobody until claimed. Among everything that is ready, teams take
turns, so that one team's thousand requests do not stand before another's one.

When a worker dies, what it had in hand goes back, and each piece has one more death to its name.
Pieces with two are suspects. They are claimed apart from all others, in groups that get smaller
with every death (`GROUPS`), the last time alone: so the one that kills is found, and the others
lose time only, and not much. What is convicted is still claimed, for the worker to fail. Runs that
workers died over while they restored them are adopted in the same way (restoring.py).

A worker takes only what is of the base models that its row says it serves.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import Connection
from psycopg.rows import class_row

from operations import lanes
from operations.models import CONVICTED, SUSPECT
from operations.workers import MARGIN_S


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that may be in hand together, by how many deaths they have to their names."""

    least_deaths: int
    most_deaths: int
    size: int | None = None


UNSUSPECTED = Group(0, SUSPECT - 1)
# of suspects; the sizes before the last keep many suspects from taking as long as one by one
MOST_DEATHS = 2**15 - 1
GROUPS = (Group(2, 2, 32), Group(3, 3, 4), Group(CONVICTED - 1, MOST_DEATHS, 1))


@dataclass(frozen=True, slots=True)
class AdoptedRun:
    """A run that a worker has just taken, with what it needs to restore it."""

    id: str
    base_model: str
    rank: int
    seed: int
    train_attn: bool
    train_mlp: bool
    train_unembed: bool
    team_id: int
    applied_seq: int
    snapshot_seq: int
    snapshot_key: str | None
    restore_deaths: int = 0


@dataclass(frozen=True, slots=True)
class Claimed:
    """An operation to do now. `base_model` and `weights_key` are filled for samples only.

    `deaths` is how many workers died while they had it in hand.
    """

    id: int
    target: str
    seq: int
    kind: str
    team_id: int
    deaths: int
    content_type: str
    body: bytes
    base_model: str | None = None
    weights_key: str | None = None


_ALIVE = "EXISTS (SELECT FROM operations_worker WHERE id = %(worker)s AND alive_until > now())"

# of the pool's base models, those that the worker does not serve: none, as a rule; and whether it
# serves the one of an operation `o` on a sampler
_UNSERVED = """ARRAY(
    SELECT b.id FROM catalog_basemodel b JOIN operations_worker w ON w.id = %(worker)s
    WHERE b.pool = %(pool)s AND NOT jsonb_exists(w.models_served, b.name))"""
_SERVED = f"""(cardinality({_UNSERVED}) = 0 OR EXISTS (
    SELECT FROM operations_lane l
    WHERE l.target = o.target AND NOT l.base_model_id = ANY({_UNSERVED})))"""

_DUE = f"""
    SELECT l.target FROM operations_lane l
    WHERE {_ALIVE} AND l.ordered AND l.worker_id IS NULL AND l.closed_at IS NULL
      AND l.restore_deaths BETWEEN %(least_deaths)s AND %(most_deaths)s
      AND (l.restore_after IS NULL OR l.restore_after <= now())
      AND NOT l.base_model_id = ANY({_UNSERVED}) AND l.target IN (
        SELECT target FROM operations_operation
        WHERE pool = %(pool)s AND state = 'queued' AND kind <> 'sample')
"""

_ADOPT = f"""
WITH due AS ({_DUE} ORDER BY l.opened_at LIMIT %(limit)s FOR NO KEY UPDATE OF l SKIP LOCKED)
UPDATE operations_lane l SET worker_id = %(worker)s, restoring = l.applied_seq >= 0
FROM due, runs_trainingrun r, catalog_basemodel b
WHERE l.target = due.target AND r.id = l.target AND b.id = l.base_model_id
RETURNING r.id, b.name AS base_model, r.rank, r.seed, r.train_attn, r.train_mlp, r.train_unembed,
          l.team_id, l.applied_seq, l.snapshot_seq, l.snapshot_key, l.restore_deaths
"""

# `ripe` is the id of the last predecessor to arrive: an operation stands in the queue from then on
_CLAIM = f"""
WITH of_runs AS (
    SELECT o.id, o.seq, o.team_id, o.cost, l.claimed_seq,
           row_number() OVER by_run AS nth,
           max(o.id) OVER by_run AS ripe,
           bool_and(o.deaths BETWEEN %(least_deaths)s AND %(most_deaths)s) OVER by_run AS wanted
    FROM operations_operation o
    JOIN operations_lane l ON l.target = o.target AND l.worker_id = %(worker)s
    WHERE {_ALIVE} AND o.pool = %(pool)s AND o.state = 'queued' AND o.seq > l.claimed_seq
      AND NOT o.target = ANY(%(besides)s)
    WINDOW by_run AS (PARTITION BY o.target ORDER BY o.seq)
), ready AS (
    SELECT id, seq, team_id, cost, ripe FROM of_runs
    WHERE seq = claimed_seq + nth AND wanted
    UNION ALL
    SELECT o.id, 0, o.team_id, o.cost, o.id FROM operations_operation o
    WHERE {_ALIVE} AND o.pool = %(pool)s AND o.state = 'queued' AND o.kind = 'sample'
      AND o.deaths BETWEEN %(least_deaths)s AND %(most_deaths)s AND {_SERVED}
), turns AS (
    SELECT *, row_number() OVER (PARTITION BY team_id ORDER BY ripe, seq) AS turn FROM ready
), affordable AS (
    SELECT *, sum(cost) OVER (ORDER BY turn, ripe, seq) - cost AS cost_before FROM turns
), picked AS (
    SELECT o.id FROM affordable a JOIN operations_operation o ON o.id = a.id
    WHERE o.state = 'queued' AND a.cost_before < %(max_bytes)s
    ORDER BY a.turn, a.ripe, a.seq LIMIT %(limit)s
    FOR UPDATE OF o SKIP LOCKED
), claimed AS (
    UPDATE operations_operation o
    SET state = 'running', worker_id = %(worker)s, started_at = greatest(now(), o.created_at)
    FROM picked WHERE o.id = picked.id
    RETURNING o.id, o.target, o.seq, o.kind, o.team_id, o.deaths
), last AS (
    SELECT target, max(seq) AS seq FROM claimed WHERE kind <> 'sample' GROUP BY target
), {lanes.locked("l.target = ANY(ARRAY(SELECT target FROM last))")}, moved AS (
    UPDATE operations_lane l SET claimed_seq = last.seq
    FROM last WHERE l.target = last.target AND {lanes.IS_LOCKED}
)
SELECT c.id, c.target, c.seq, c.kind, c.team_id, c.deaths, p.content_type, p.body,
       b.name AS base_model, s.weights_key
FROM claimed c
JOIN operations_payload p ON p.operation_id = c.id
LEFT JOIN runs_sampler s ON s.id = c.target AND c.kind = 'sample'
LEFT JOIN catalog_basemodel b ON b.id = s.base_model_id
ORDER BY c.target, c.seq
"""

# Operations before lanes, and by id: whoever finishes them locks them in that order too. They are
# looked up lane by lane; as a plain join they might be found by reading all there are
_LOCK_BEHIND = """
SELECT o.id FROM operations_operation o
WHERE o.state <> 'queued' AND o.id = ANY(ARRAY(
    SELECT behind.id FROM operations_lane l CROSS JOIN LATERAL (
        SELECT b.id FROM operations_operation b
        WHERE b.target = l.target AND b.seq > l.applied_seq OFFSET 0) behind
    WHERE {which}))
ORDER BY o.id FOR UPDATE
"""

_RELEASE_RUNS = """
WITH {locked}, released AS (
    UPDATE operations_lane l SET worker_id = NULL, claimed_seq = l.applied_seq, restoring = false,
        restore_deaths = l.restore_deaths + CASE WHEN l.restoring THEN %(deaths)s ELSE 0 END
    WHERE {is_locked} RETURNING l.target, l.applied_seq
), behind AS (
    UPDATE operations_operation o
    SET state = 'queued', worker_id = NULL, error = NULL, error_category = NULL,
        deaths = o.deaths + CASE o.state WHEN 'running' THEN %(deaths)s ELSE 0 END
    FROM released r
    WHERE o.id = ANY(%(behind)s) AND o.target = r.target AND o.seq > r.applied_seq
    RETURNING o.id
)
SELECT count(*) FROM behind
"""

_HAS_SUSPECTS = f"""
SELECT EXISTS ({_DUE}) OR EXISTS (
    SELECT FROM operations_operation o
    WHERE o.pool = %(pool)s AND o.state = 'queued' AND o.deaths >= {SUSPECT}
      AND (o.kind = 'sample' AND {_SERVED}
           OR o.kind <> 'sample' AND NOT o.target = ANY(%(besides)s) AND EXISTS (
                SELECT FROM operations_lane l
                WHERE l.target = o.target AND l.worker_id = %(worker)s)))
"""

_RELEASE_SAMPLES = """
UPDATE operations_operation o
SET state = 'queued', worker_id = NULL, deaths = o.deaths + %(deaths)s
WHERE {which} AND o.state = 'running' AND o.kind = 'sample'
"""

_OF_THE_DEAD = f"""worker_id IN (
    SELECT id FROM operations_worker
    WHERE pool = %(pool)s AND alive_until <= now() - make_interval(secs => {MARGIN_S}))"""


def adopt(
    conn: Connection,
    *,
    worker_id: uuid.UUID,
    pool: str,
    limit: int,
    group: Group = UNSUSPECTED,
) -> list[AdoptedRun]:
    """Take runs that have work waiting and no worker; `group`: which may be restored together."""
    values = _group_values(group, limit) | {"worker": worker_id, "pool": pool}
    with conn.cursor(row_factory=class_row(AdoptedRun)) as cursor:
        return cursor.execute(_ADOPT, values, binary=True).fetchall()


def _group_values(group: Group, limit: int) -> dict[str, object]:
    return {
        "limit": min(limit, group.size or limit),
        "least_deaths": group.least_deaths,
        "most_deaths": group.most_deaths,
    }


def claim(
    conn: Connection,
    *,
    worker_id: uuid.UUID,
    pool: str,
    limit: int,
    max_bytes: int,
    group: Group = UNSUSPECTED,
    besides: Sequence[str] = (),
) -> list[Claimed]:
    """Take operations, fair between teams; a run's come in seq order. A dead worker gets none.

    Args:
        limit: at most so many. max_bytes: stop once the bodies taken reach this; a single larger
            one is still taken. group: which, and how many of them, may be taken together.
        besides: runs that the worker holds and is not ready to go on with.
    """
    values = _group_values(group, limit) | {
        "worker": worker_id,
        "pool": pool,
        "max_bytes": max_bytes,
        "besides": list(besides),
    }
    with conn.cursor(row_factory=class_row(Claimed)) as cursor:
        return cursor.execute(_CLAIM, values, binary=True).fetchall()


def has_suspects(
    conn: Connection, *, worker_id: uuid.UUID, pool: str, besides: Sequence[str] = ()
) -> bool:
    """Whether suspects wait that this worker may claim or adopt."""
    row = conn.execute(
        _HAS_SUSPECTS,
        {
            "worker": worker_id,
            "pool": pool,
            "besides": list(besides),
            "least_deaths": SUSPECT,
            "most_deaths": MOST_DEATHS,
        },
    ).fetchone()
    return row is not None and row[0]


def recover(conn: Connection, *, pool: str) -> int:
    """Put back what dead workers had in hand; returns how many operations wait again."""
    return _release(conn, _OF_THE_DEAD, deaths=1, pool=pool)


def hand_back(conn: Connection, *, worker_id: uuid.UUID) -> int:
    """Put back all that a worker has in hand, as it is about to leave; returns how much that is."""
    return _release(conn, "worker_id = %(worker)s", deaths=0, worker=worker_id)


def _release(conn: Connection, of_workers: str, **values: object) -> int:
    with conn.transaction():
        samples = conn.execute(_RELEASE_SAMPLES.format(which=f"o.{of_workers}"), values)
        return samples.rowcount + _release_runs(conn, f"l.{of_workers}", values)


def _release_runs(conn: Connection, which: str, values: dict[str, object]) -> int:
    locked = conn.execute(_LOCK_BEHIND.format(which=which), values).fetchall()
    behind = [operation_id for (operation_id,) in locked]
    release = _RELEASE_RUNS.format(locked=lanes.locked(which), is_locked=lanes.IS_LOCKED)
    row = conn.execute(release, values | {"behind": behind}).fetchone()
    assert row is not None
    return int(row[0])


def is_waiting(conn: Connection, *, pool: str) -> bool:
    """Whether operations have waited for some seconds: a doorbell may have been lost."""
    row = conn.execute(
        """
        SELECT EXISTS (SELECT FROM operations_operation
                       WHERE pool = %s AND state = 'queued'
                         AND created_at < now() - interval '5 seconds')
        """,
        (pool,),
    ).fetchone()
    return row is not None and row[0]


def lost(
    conn: Connection, *, worker_id: uuid.UUID, runs: dict[str, int], samples: list[str]
) -> list[str]:
    """Runs that the log gives a worker though it does not have them as the log says.

    The answer to an adoption or a claim can be lost after its commit. Samples lost so wait again at
    once; the runs are for the caller to release.

    Args:
        runs: run id → the last operation that the worker has begun. samples: request ids in hand.
    """
    conn.execute(
        _RELEASE_SAMPLES.format(
            which="o.worker_id = %(worker)s AND NOT o.target || ':' || o.seq = ANY(%(in_hand)s)"
        ),
        {"worker": worker_id, "in_hand": samples, "deaths": 0},
    )
    rows = conn.execute(
        "SELECT target, claimed_seq FROM operations_lane WHERE worker_id = %s", (worker_id,)
    )
    return [run_id for run_id, claimed in rows if runs.get(run_id, -2) != claimed]


def given_up(conn: Connection, *, worker_id: uuid.UUID, samples: list[str]) -> list[str]:
    """Those of these samples in hand that the log does not have a worker do any more."""
    rows = conn.execute(
        """
        SELECT s.id FROM unnest(%s::text[]) AS s(id) WHERE NOT EXISTS (
            SELECT FROM operations_operation o
            WHERE o.worker_id = %s AND o.state = 'running' AND o.target || ':' || o.seq = s.id)
        """,
        (samples, worker_id),
    )
    return [request_id for (request_id,) in rows]


def release_runs(conn: Connection, *, worker_id: uuid.UUID, run_ids: list[str]) -> None:
    """Give runs back so that any worker may adopt them again."""
    with conn.transaction():
        _release_runs(
            conn,
            "l.target = ANY(%(runs)s) AND l.worker_id = %(worker)s",
            {"runs": run_ids, "worker": worker_id, "deaths": 0},
        )
