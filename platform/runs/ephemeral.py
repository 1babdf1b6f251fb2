"""Samplers that a run's saves make: frozen ones, and those whose weights follow later saves."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from psycopg import Connection

from checkpoints import store

# between the clock of the database and that of the store
CLOCKS_DIFFER_BY = timedelta(minutes=1)


def make_ephemeral(
    conn: Connection, *, sampler_id: str, run_id: str, number: int, key: str, seq: int | None
) -> bool:
    """Make a session's sampler of weights just saved; False when the number is taken by another.

    Args:
        seq: the save's place in the run's order when the sampler is to follow later saves.
    """
    made = conn.execute(
        """
        INSERT INTO runs_sampler (id, session_id, team_id, number, base_model_id, run_id,
                                  weights_key, inflight_seq, ephemeral)
        SELECT %s, session_id, team_id, %s, base_model_id, id, %s, %s, true
        FROM runs_trainingrun WHERE id = %s
        ON CONFLICT (id) DO UPDATE
            SET weights_key = excluded.weights_key, inflight_seq = excluded.inflight_seq
        WHERE runs_sampler.run_id = excluded.run_id
          AND (runs_sampler.inflight_seq IS NOT NULL
               OR runs_sampler.weights_key = excluded.weights_key)
        """,
        (sampler_id, number, key, seq, run_id),
    )
    return bool(made.rowcount)


def renew_inflight(conn: Connection, *, run_id: str, key: str, seq: int) -> None:
    """Give a run's inflight samplers the weights of a newer save.

    Samples that are claimed from now on use them. Weights that none can still be waiting for are
    deleted; of those just replaced some may be under way.
    """
    conn.execute(
        """
        UPDATE runs_sampler SET weights_key = %s, inflight_seq = %s
        WHERE run_id = %s AND inflight_seq < %s
        """,
        (key, seq, run_id, seq),
    )
    row = conn.execute(
        """
        SELECT min(o.started_at) FROM operations_operation o
        JOIN runs_sampler s ON s.id = o.target AND s.run_id = %s AND s.inflight_seq IS NOT NULL
        WHERE o.kind = 'sample' AND o.state = 'running'
        """,
        (run_id,),
    ).fetchone()
    oldest = (row and row[0]) or datetime.now(UTC)
    for obsolete in _replaced_before(run_id, oldest - CLOCKS_DIFFER_BY):
        store.delete(obsolete)


def _replaced_before(run_id: str, time: datetime) -> list[str]:
    """Keys of a run's inflight weights for which there were newer ones at `time`."""
    folder = store.path(store.inflight_keys(run_id))
    saves = sorted(int(entry.name) for entry in folder.iterdir() if entry.name.isdigit())
    written = [
        datetime.fromtimestamp((folder / str(seq)).stat().st_mtime, UTC) for seq in saves[1:]
    ]
    return [
        store.inflight_key(run_id, seq)
        for seq, replaced in zip(saves, written, strict=False)
        if replaced < time
    ]
