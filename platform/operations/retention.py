"""Forgetting what operations were given and gave.

Bodies and results are what takes room. The operations themselves stay, for traces tell of them, as
does what they used: that stands in the ledger.
"""

from __future__ import annotations

from django.conf import settings
from psycopg import Connection

OPERATIONS_AT_ONCE = 2000

_FORGET = """
WITH old AS (
    SELECT o.id FROM operations_lane l JOIN operations_operation o ON o.target = l.target
    WHERE l.session_id = ANY(%(sessions)s)
      AND (EXISTS (SELECT FROM operations_result r WHERE r.operation_id = o.id)
           OR EXISTS (SELECT FROM operations_payload p WHERE p.operation_id = o.id))
    LIMIT %(limit)s
), results AS (
    DELETE FROM operations_result r USING old WHERE r.operation_id = old.id
), payloads AS (
    DELETE FROM operations_payload p USING old WHERE p.operation_id = old.id
)
SELECT count(*) FROM old
"""


def forget(conn: Connection, *, session_ids: list[str]) -> int:
    """Delete bodies and results of sessions' operations, up to `OPERATIONS_AT_ONCE`; how many."""
    values = {"sessions": session_ids, "limit": OPERATIONS_AT_ONCE}
    row = conn.execute(_FORGET, values).fetchone()
    assert row is not None
    return int(row[0])


def missing_result(request_id: str) -> str:
    """What to tell whoever asks for a result that was there once."""
    return (
        f"the result of {request_id} is no longer kept: results are deleted when their client "
        f"says that it has them, or {settings.RESULTS_KEPT_DAYS} days after their session has ended"
    )
