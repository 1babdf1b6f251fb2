"""Files in the store that nobody needs any more: noted with what made them so, deleted by a sweep.

The only way in which a worker's files die. The note is part of the transaction that takes the last
name from the files, hence no crash forgets them.
"""

from __future__ import annotations

import logging

from psycopg import Connection

from checkpoints import store

log = logging.getLogger(__name__)

AT_ONCE = 200
# what the disk would not delete is tried again after this long
AGAIN_AFTER_S = 300
# a sample that reads a key in the moment of its replacement is claimed no later than this after it
CLAIMED_WITHIN_S = 60

# Whether nobody needs the files of a row `l`: no name, no run, no operation that may be done again
# after a crash, and no sampler of a session that still holds its things.
UNNEEDED = """
l.not_before <= now()
AND NOT EXISTS (SELECT FROM checkpoints_checkpoint c WHERE c.key = l.key)
AND NOT EXISTS (SELECT FROM checkpoints_deleted d WHERE d.key = l.key)
AND NOT EXISTS (SELECT FROM operations_lane a WHERE a.snapshot_key = l.key)
AND NOT EXISTS (SELECT FROM operations_payload p WHERE p.reads = l.key)
AND NOT EXISTS (SELECT FROM runs_sampler s JOIN runs_session e ON e.id = s.session_id
                WHERE s.weights_key = l.key AND e.released_at IS NULL)
AND NOT EXISTS (SELECT FROM operations_operation o JOIN runs_sampler s ON s.id = o.target
                WHERE s.run_id = l.inflight_run_id AND o.kind = 'sample'
                  AND o.state = 'running' AND o.started_at < l.not_before)
"""
_DUE = f"""
SELECT l.key FROM checkpoints_leftover l WHERE {UNNEEDED}
ORDER BY l.not_before LIMIT %s FOR UPDATE OF l SKIP LOCKED
"""


def leave(conn: Connection, *keys: str) -> None:
    """Note files to be deleted once no checkpoint, run or sampler names them."""
    conn.execute(
        "INSERT INTO checkpoints_leftover (key) SELECT unnest(%s::text[]) ON CONFLICT DO NOTHING",
        (list(keys),),
    )


def leave_unnamed(conn: Connection, keys: list[str]) -> None:
    """Note those of these files that no checkpoint names."""
    rows = conn.execute("SELECT key FROM checkpoints_checkpoint WHERE key = ANY(%s)", (keys,))
    leave(conn, *set(keys).difference(key for (key,) in rows))


def leave_inflight(conn: Connection, *, run_id: str, keys: list[str]) -> None:
    """Note weights that a run's inflight samplers have just replaced; samples may be using them."""
    conn.execute(
        """
        INSERT INTO checkpoints_leftover (key, inflight_run_id, not_before)
        SELECT unnest(%s::text[]), %s, now() + make_interval(secs => %s) ON CONFLICT DO NOTHING
        """,
        (keys, run_id, CLAIMED_WITHIN_S),
    )


def delete_due(conn: Connection) -> list[str]:
    """Delete files that nobody needs; returns their keys."""
    gone: list[str] = []
    with conn.transaction():
        for (key,) in conn.execute(_DUE, (AT_ONCE,)).fetchall():
            try:
                store.delete(key)
            except (OSError, ValueError) as error:
                log.error("%s could not be deleted, this is tried again: %s", key, error)
                conn.execute(
                    """
                    UPDATE checkpoints_leftover SET not_before = now() + make_interval(secs => %s)
                    WHERE key = %s
                    """,
                    (AGAIN_AFTER_S, key),
                )
            else:
                gone.append(key)
        # gone from the table only with the files: a crash in between deletes them again
        if gone:
            conn.execute("DELETE FROM checkpoints_leftover WHERE key = ANY(%s)", (gone,))
    return gone
