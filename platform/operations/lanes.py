"""Opening the lines that operations stand in, and holding them open; closing.py closes them.

Runs and samplers are other apps' rows. Whoever makes one puts `OPEN_FOR_…` into the statement that
does so: no round trip is added, and nobody else writes our table.
"""

from __future__ import annotations

# CTEs that follow one called `made`, which gives id, session_id, team_id, base_model_id and
# closed_at of new runs or samplers. What is made again keeps its lane.
_OPEN = """
opened AS (
    INSERT INTO operations_lane (target, session_id, team_id, base_model_id, ordered, closed_at)
    SELECT id, session_id, team_id, base_model_id, {ordered}, closed_at FROM made
    ON CONFLICT (target) DO NOTHING
)
"""
OPEN_FOR_RUN, OPEN_FOR_SAMPLER = _OPEN.format(ordered=True), _OPEN.format(ordered=False)


def locked(which: str) -> str:
    """A CTE `locked`, the targets of the lanes `l` for which `which` holds, to be changed.

    All lock the lanes of runs in one order, after operations, so that nobody waits in a circle.
    """
    return f"""
locked AS (
    SELECT l.target FROM operations_lane l WHERE {which} ORDER BY l.target FOR NO KEY UPDATE
)
"""


# for a WHERE over lanes `l` of the same statement; a join might read all lanes there are
IS_LOCKED = "l.target = ANY(ARRAY(SELECT target FROM locked))"

# What whoever appends looks at. The lock holds off the lane's closing, and so the emptying that
# would not see what is appended; others append beside it.
LOCKED = """
SELECT l.target, l.team_id, b.pool, l.worker_id, l.closed_at
FROM operations_lane l JOIN catalog_basemodel b ON b.id = l.base_model_id
WHERE l.target = %(target)s AND l.team_id = %(team)s AND l.ordered = %(ordered)s
FOR KEY SHARE OF l
"""
