"""Samplers that a run's saves make: frozen ones, and those whose weights follow later saves."""

from __future__ import annotations

from psycopg import Connection

from checkpoints import leftovers
from events import services as events
from operations import lanes
from runs import telling


def make_ephemeral(
    conn: Connection, *, sampler_id: str, run_id: str, number: int, key: str, seq: int | None
) -> bool:
    """Make a session's sampler of weights just saved; False when the number is taken by another.

    Args:
        seq: the save's place in the run's order when the sampler is to follow later saves.
    """
    made = conn.execute(
        f"""
        WITH run AS (
            SELECT r.id, r.session_id, r.team_id, r.base_model_id, s.ended_at
            FROM runs_trainingrun r JOIN runs_session s ON s.id = r.session_id
            WHERE r.id = %(run)s FOR KEY SHARE OF s
        ), made AS (
            INSERT INTO runs_sampler (id, session_id, team_id, number, base_model_id, run_id,
                                      weights_key, inflight_seq, ephemeral)
            SELECT %(sampler)s, session_id, team_id, %(number)s, base_model_id, id,
                   %(key)s, %(seq)s, true
            FROM run
            ON CONFLICT (id) DO UPDATE
                SET weights_key = CASE WHEN runs_sampler.inflight_seq > excluded.inflight_seq
                                       THEN runs_sampler.weights_key ELSE excluded.weights_key END,
                    inflight_seq = greatest(runs_sampler.inflight_seq, excluded.inflight_seq)
            WHERE runs_sampler.run_id = excluded.run_id
              AND (runs_sampler.inflight_seq IS NOT NULL
                   OR runs_sampler.weights_key = excluded.weights_key)
            RETURNING id, session_id, team_id, base_model_id,
                      (SELECT ended_at FROM run) AS closed_at, xmax = 0 AS is_new
        ), {lanes.OPEN_FOR_SAMPLER}
        SELECT made.session_id, made.team_id, b.name, made.is_new
        FROM made JOIN catalog_basemodel b ON b.id = made.base_model_id
        """,
        {"sampler": sampler_id, "number": number, "key": key, "seq": seq, "run": run_id},
    ).fetchone()
    if made is None:
        return False
    session_id, team_id, base_model, is_new = made
    if is_new:
        told = telling.sampler_created(
            sampler_id,
            team_id=team_id,
            run_id=run_id,
            session_id=session_id,
            base_model=base_model,
            model_path=None,
        )
        events.write_sync(conn, told)
    return True


def renew_inflight(conn: Connection, *, run_id: str, key: str, seq: int) -> None:
    """Give a run's inflight samplers the weights of a newer save.

    Samples that are claimed from now on use them; those under way keep what they began with.
    """
    replaced = conn.execute(
        """
        WITH older AS (
            SELECT id, weights_key FROM runs_sampler WHERE run_id = %s AND inflight_seq < %s
            FOR NO KEY UPDATE
        )
        UPDATE runs_sampler s SET weights_key = %s, inflight_seq = %s
        FROM older WHERE s.id = older.id RETURNING older.weights_key
        """,
        (run_id, seq, key, seq),
    ).fetchall()
    leftovers.leave_inflight(conn, run_id=run_id, keys=list({old for (old,) in replaced}))


def find_frozen(
    conn: Connection, *, team_id: int, sampler_id: str
) -> tuple[str, str | None] | None:
    """(base model, store key of the weights or None) of a team's sampler that never changes.

    None where there is no such one, also once its session has let it go.
    """
    return conn.execute(
        """
        SELECT b.name, p.weights_key FROM runs_sampler p
        JOIN runs_session s ON s.id = p.session_id
        JOIN catalog_basemodel b ON b.id = p.base_model_id
        WHERE p.id = %s AND p.team_id = %s AND p.inflight_seq IS NULL AND s.released_at IS NULL
        """,
        (sampler_id, team_id),
    ).fetchone()
