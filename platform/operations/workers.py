"""Workers as the log knows them: registered, alive while they renew, dead afterwards."""

from __future__ import annotations

import os
import uuid
from datetime import timedelta
from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Least
from django.utils import timezone
from psycopg import Connection
from psycopg.types.json import Jsonb

from operations.models import Worker

ALIVE_S = 30
# a worker counts as dead this long after its lease: what it did in time is in the log by then
MARGIN_S = 1
KEPT_DAYS = 7

# of a base model `b` in a statement: what no worker is there for, NULL if one serves it
UNSERVED = """
CASE WHEN EXISTS (SELECT FROM operations_worker w WHERE w.pool = b.pool AND w.alive_until > now()
                  AND jsonb_exists(w.models_served, b.name)) THEN NULL
     WHEN EXISTS (SELECT FROM operations_worker w WHERE w.pool = b.pool AND w.alive_until > now())
     THEN 'the base model ' || b.name ELSE 'the pool ' || quote_literal(b.pool) END
"""


def any_alive(pool: str) -> bool:
    """Whether a worker of this pool is ready for work."""
    return _alive(pool).exclude(models_served=[]).exists()


def troubles(pool: str) -> dict[str, str]:
    """Base model → why a worker of this pool does not serve it, though it should."""
    return {
        name: numbers["not_loaded"]
        for worker in _alive(pool)
        for name, numbers in worker.report.items()
        if "not_loaded" in numbers
    }


def _alive(pool: str) -> QuerySet[Worker]:
    return Worker.objects.filter(pool=pool, alive_until__gt=timezone.now())


def dead_ids(conn: Connection) -> set[str]:
    """The ids of all workers that were alive once and are no more."""
    rows = conn.execute("SELECT id FROM operations_worker WHERE alive_until <= now()")
    return {str(worker_id) for (worker_id,) in rows}


def forget_all() -> None:
    """Declare every worker dead: for a launcher that knows that none of them runs."""
    longer_ago = Value(timezone.now() - timedelta(seconds=MARGIN_S))
    # of those that are dead already it still says since when
    Worker.objects.update(alive_until=Least("alive_until", longer_ago), lingering=False)


def register(
    conn: Connection,
    *,
    worker_id: uuid.UUID,
    pool: str,
    host: str,
    pid: int,
    models: list[str],
    report: dict[str, Any] | None = None,
) -> None:
    """Enter a worker that serves these base models; of one that is known, only they change."""
    conn.execute(
        """
        INSERT INTO operations_worker (id, pool, host, pid, alive_until, models_served, report)
        VALUES (%s, %s, %s, %s, now() + make_interval(secs => %s), %s, %s)
        ON CONFLICT (id) DO UPDATE
            SET models_served = excluded.models_served, report = excluded.report
        """,
        (worker_id, pool, host, pid, ALIVE_S, Jsonb(models), Jsonb(report or {})),
    )


def retire_gone(conn: Connection, *, host: str) -> None:
    """Take out the workers of this host whose process is gone, before their lease runs out.

    Should one live after all, out of our sight, it starts over and loses nothing but time.
    """
    alive = conn.execute(
        "SELECT id, pid FROM operations_worker WHERE host = %s AND alive_until > now()", (host,)
    ).fetchall()
    for worker_id, pid in alive:
        if not _runs(pid):
            retire(conn, worker_id=worker_id)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def renew(conn: Connection, *, worker_id: uuid.UUID, report: dict[str, object]) -> bool:
    """Say that a worker is alive for another `ALIVE_S` seconds.

    Returns False when it had been taken for dead meanwhile: others may hold its runs now.
    """
    row = conn.execute(
        """
        WITH before AS (SELECT id, alive_until FROM operations_worker WHERE id = %(id)s FOR UPDATE)
        UPDATE operations_worker w
        SET alive_until = now() + make_interval(secs => %(alive)s), report = %(report)s
        FROM before WHERE w.id = before.id
        RETURNING before.alive_until > now()
        """,
        {"alive": ALIVE_S, "report": Jsonb(report), "id": worker_id},
    ).fetchone()
    return row is not None and row[0]


def set_lingering(conn: Connection, *, worker_id: uuid.UUID, lingering: bool) -> None:
    """Say whether a worker listens for work, so that submitters know whether to ring."""
    conn.execute(
        "UPDATE operations_worker SET lingering = %s WHERE id = %s", (lingering, worker_id)
    )


def retire(conn: Connection, *, worker_id: uuid.UUID) -> None:
    """Take a worker out at once, so that others may adopt its runs."""
    conn.execute(
        """
        UPDATE operations_worker SET alive_until = now() - make_interval(secs => %s),
            lingering = false
        WHERE id = %s
        """,
        (MARGIN_S, worker_id),
    )


def forget_old(conn: Connection) -> None:
    """Forget workers that died long ago, once nothing is in their hands."""
    conn.execute(
        """
        DELETE FROM operations_worker w
        WHERE w.alive_until < now() - make_interval(days => %s)
          AND NOT EXISTS (SELECT FROM operations_lane l WHERE l.worker_id = w.id)
          AND NOT EXISTS (SELECT FROM operations_operation o
                          WHERE o.worker_id = w.id AND o.state = 'running')
        """,
        (KEPT_DAYS,),
    )
