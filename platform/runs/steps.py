"""A run's recorded rollouts as one looks for something in them: steps, and their groups.

Each level is a page with a cursor along the index over (run, step, group, index). Texts in lists
are cut; whoever opens a group (`runs.groups`) gets it whole, within bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg.rows import class_row

from accounts.actors import Actor
from core import database

MAX_OF_GROUP = 256
PREVIEW = 240
PREVIEW_TOKENS = 96


@dataclass(frozen=True, slots=True)
class StepSummary:
    """A step's rollouts. `mixed`: groups in which not all rewards are the same."""

    step: int
    groups: int
    mixed: int
    rollouts: int
    rewarded: int
    mean: float | None
    least: float | None
    greatest: float | None


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """A group of a step: its rewards by index, the beginning of its prompt, its tags.

    `preview` is text; where programs sent tokens alone, `preview_tokens` has their beginning.
    """

    group: int
    rollouts: int
    mean: float | None
    rewards: list[float | None]
    preview: str | None
    preview_tokens: list[int] | None
    tags: list[str]


_STEPS = """
SELECT step, count(*) AS groups, coalesce(sum(rollouts), 0)::bigint AS rollouts,
       count(*) FILTER (WHERE least < greatest) AS mixed,
       coalesce(sum(rewarded), 0)::bigint AS rewarded,
       sum(total) / nullif(sum(rewarded), 0) AS mean, min(least) AS least, max(greatest) AS greatest
FROM (
    SELECT step, "group", count(*) AS rollouts, count(good) AS rewarded,
           sum(good) AS total, min(good) AS least, max(good) AS greatest
    FROM (SELECT step, "group",
                 CASE WHEN reward < 'Infinity' AND reward > '-Infinity' THEN reward END AS good
          FROM runs_rollout
          WHERE run_id = %(run)s AND team_id = %(team)s
            AND (%(before)s::bigint IS NULL OR step < %(before)s)) rows
    GROUP BY step, "group"
) grouped
GROUP BY step ORDER BY step DESC LIMIT %(limit)s
"""
_GROUPS = f"""
SELECT "group", count(*) AS rollouts,
       avg(reward) FILTER (WHERE reward < 'Infinity' AND reward > '-Infinity') AS mean,
       (array_agg(reward ORDER BY index))[1:{MAX_OF_GROUP}] AS rewards,
       left((array_agg(coalesce(prompt, completion) ORDER BY index))[1], {PREVIEW}) AS preview,
       (array_agg(to_jsonb(prompt_tokens[1:{PREVIEW_TOKENS}]) ORDER BY index)
        FILTER (WHERE prompt IS NULL AND prompt_tokens IS NOT NULL))[1] AS preview_tokens,
       coalesce((array_agg(to_jsonb(tags) ORDER BY index))[1], '[]'::jsonb) AS tags
FROM runs_rollout
WHERE run_id = %(run)s AND team_id = %(team)s AND step = %(step)s
  AND (%(after)s::bigint IS NULL OR "group" > %(after)s)
  AND (%(search)s = '' OR "group" IN (
       SELECT found."group" FROM runs_rollout found
       WHERE found.run_id = %(run)s AND found.step = %(step)s
         AND concat_ws(' ', found.prompt, found.completion, array_to_string(found.tags, ' '),
                       found.data::text) ILIKE %(search)s))
GROUP BY "group" ORDER BY "group" LIMIT %(limit)s
"""


async def list_steps(
    *, actor: Actor, run_id: str, before: int | None, limit: int
) -> list[StepSummary]:
    """A page of the steps that have rollouts, newest first."""
    values = {"run": run_id, "team": actor.team_id, "before": before, "limit": limit}
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(StepSummary)) as cursor,
    ):
        await cursor.execute(_STEPS, values)
        return await cursor.fetchall()


async def list_groups(
    *, actor: Actor, run_id: str, step: int, after: int | None, search: str, limit: int
) -> list[GroupSummary]:
    """A page of a step's groups by number; of a search those in which a rollout has the text."""
    values: dict[str, Any] = {
        "run": run_id,
        "team": actor.team_id,
        "step": step,
        "after": after,
        "search": database.anywhere(search) if search else "",
        "limit": limit,
    }
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(GroupSummary)) as cursor,
    ):
        await cursor.execute(_GROUPS, values)
        return await cursor.fetchall()
