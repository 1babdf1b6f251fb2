"""The sampled sequences that rollouts name, kept with their run for whoever reads these.

What is sampled with `record_stability_info` lies in the operation log for a week. A rollout that
names its sequences has them copied to its run.
"""

from __future__ import annotations

from collections.abc import Sequence as Listed
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from core import database
from operations import recordings

if TYPE_CHECKING:
    from accounts.actors import Actor

# of a run's sequences the newest are kept, up to this: 32 million tokens
KEPT_BYTES_OF_RUN = 256 * 2**20

_KEEP = f"""
INSERT INTO runs_sequence (run_id, team_id, name, tokens, logprobs)
SELECT %(run)s, %(team)s, named.name, named.tokens, named.logprobs
FROM ({recordings.NAMED}) named JOIN runs_session s ON s.id = named.session_id
WHERE s.team_id = %(team)s
ORDER BY named.name
ON CONFLICT (run_id, name) DO NOTHING
"""
_SIZE = "octet_length(tokens) + octet_length(logprobs)"
_TOTAL = f"SELECT coalesce(sum({_SIZE}), 0) FROM runs_sequence WHERE run_id = %(run)s"
_FORGET_OLDEST = f"""
DELETE FROM runs_sequence WHERE run_id = %(run)s AND id <= (
    SELECT max(id) FROM (
        SELECT id, sum({_SIZE}) OVER (ORDER BY id DESC) AS with_newer
        FROM runs_sequence WHERE run_id = %(run)s
    ) counted WHERE with_newer > %(most)s
)
"""


@dataclass(frozen=True, slots=True)
class Sampled:
    """A sequence's tokens and the logprobs that they were drawn with; None: no longer kept."""

    name: str
    tokens: list[int] | None = None
    logprobs: list[float] | None = None


async def keep(
    conn: database.Connection, *, actor: Actor, run_id: str, named: Listed[Listed[str]]
) -> list[int]:
    """Keep the sequences that each of some rollouts names.

    Returns:
        The places of the rollouts that name one of which nothing is recorded for the actor's team.
    """
    if not any(named):
        return []
    # PostgreSQL knows no NUL, so nothing is recorded under a name that has one
    names = sorted({name for names in named for name in names if "\0" not in name})
    values = {"run": run_id, "team": actor.team_id, "names": names, "most": KEPT_BYTES_OF_RUN}
    await conn.execute(_KEEP, values)
    known = await _find(conn, run_id, names)
    total = await (await conn.execute(_TOTAL, values)).fetchone()
    if total is not None and total[0] > KEPT_BYTES_OF_RUN:
        await conn.execute(_FORGET_OLDEST, values)
    return [place for place, wanted in enumerate(named) if not known.issuperset(wanted)]


async def read(conn: database.Connection, *, run_id: str, names: Listed[str]) -> dict[str, Sampled]:
    """What is still kept of sequences of a run, by name."""
    cursor = await conn.execute(
        "SELECT name, tokens, logprobs FROM runs_sequence WHERE run_id = %s AND name = ANY(%s)",
        (run_id, list(names)),
    )
    return {
        name: Sampled(
            name, np.frombuffer(tokens, "<i4").tolist(), np.frombuffer(logprobs, "<f4").tolist()
        )
        for name, tokens, logprobs in await cursor.fetchall()
    }


async def _find(conn: database.Connection, run_id: str, names: Listed[str]) -> set[str]:
    cursor = await conn.execute(
        "SELECT name FROM runs_sequence WHERE run_id = %s AND name = ANY(%s)", (run_id, list(names))
    )
    return {name for (name,) in await cursor.fetchall()}
