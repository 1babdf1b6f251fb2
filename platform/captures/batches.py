"""What was captured of a run's steps, as one looks at batches: steps, their datums, one of them.

Every list is a page along an index. Texts are not known here: whoever shows a datum makes them of
its tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import numpy as np
from psycopg.rows import class_row

from accounts.actors import Actor
from captures import blocks
from captures.blocks import NotKept
from core import database
from core.errors import NotFound

Order = Literal["place", "loss", "prompt"]
MOST_TOKENS = 8192
MOST_SEEN = 200
# examples of one prompt that are looked at in a map, and how many points it has
MOST_EXAMPLES = 5000


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step, complete or not: one whose passes have come has no numbers of its own yet.

    `loss` is a trained token's.
    """

    step: int
    datums: int
    tokens: int
    trained_tokens: int
    loss_fn: str
    loss: float | None
    groups: int | None
    mixed_share: float | None
    time: datetime | None


@dataclass(frozen=True, slots=True)
class DatumRow:
    """A datum of a step.

    Attributes:
        loss: its part of the sum. logprob, sampled_logprob: means over its trained tokens.
        group: the same number for the same prompt, from 0 in the order of the batch.
        seen: in how many of the run's steps it was trained on so far, this one included.
        before: its loss a trained token the time before, if it was.
        kept: whether its tokens are.
    """

    id: int
    seq: int
    place: int
    tokens: int
    trained_tokens: int
    loss: float
    logprob: float | None
    sampled_logprob: float | None
    advantage: float | None
    group: int
    seen: int
    before: float | None
    kept: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """The datums of a step, and what is odd about them.

    Attributes:
        total: how many there are; `datums` has as many of them as were asked for.
        untrained: datums without a trained token. twice: datums that stand there more than once.
        constant: of a policy's, those whose advantages are all 0.
    """

    step: int
    loss_fn: str
    total: int
    untrained: int
    twice: int
    constant: int
    datums: list[DatumRow]


@dataclass(frozen=True, slots=True)
class Positions:
    """A datum position by position: place i has the token that the ones before it lead to.

    `tokens` begins with the first input; what is known of the others stands at the same place, None
    at the first. Of one that is longer than `MOST_TOKENS` the beginning is here, and `cut` says how
    much is not.
    """

    tokens: list[int]
    trained: list[bool]
    logprobs: list[float | None]
    sampled: list[float | None]
    weights: list[float | None]
    advantages: list[float | None]
    cut: int


@dataclass(frozen=True, slots=True)
class Times:
    """Once that an example was trained on: the step, its loss a trained token, its mean logprob."""

    step: int
    loss: float | None
    logprob: float | None


@dataclass(frozen=True, slots=True)
class FoundDatum:
    """A datum with its positions; None where they are no longer kept. `times`: oldest first."""

    row: DatumRow
    step: int
    loss_fn: str
    positions: Positions | None
    times: list[Times]


@dataclass(frozen=True, slots=True)
class Example:
    """What was trained on more than once: its first and its last time."""

    datum: int
    step: int
    seen: int
    first: float | None
    last: float | None
    trained_tokens: int


_STEPS = """
SELECT d.step, d.datums, d.tokens, d.trained_tokens, d.loss_fn,
       s.loss_sum / nullif(s.trained_tokens, 0) AS loss, s.groups, s.mixed_share, s.time
FROM (SELECT step, count(*) AS datums, sum(tokens)::bigint AS tokens,
             sum(trained_tokens)::bigint AS trained_tokens, min(loss_fn) AS loss_fn
      FROM captures_datumstat
      WHERE run_id = %(run)s AND team_id = %(team)s AND step = ANY(ARRAY(
          WITH RECURSIVE newest(step) AS (
              (SELECT step FROM captures_datumstat
               WHERE run_id = %(run)s AND step < %(before)s ORDER BY step DESC LIMIT 1)
              UNION ALL
              SELECT (SELECT d.step FROM captures_datumstat d
                      WHERE d.run_id = %(run)s AND d.step < n.step ORDER BY d.step DESC LIMIT 1)
              FROM newest n WHERE n.step IS NOT NULL
          ) SELECT step FROM newest LIMIT %(limit)s))
      GROUP BY step) d
LEFT JOIN captures_stepstat s ON s.run_id = %(run)s AND s.step = d.step
ORDER BY d.step DESC
"""
_COLUMNS = """
d.id, d.seq, d.place, d.tokens, d.trained_tokens, d.loss, d.logprob, d.sampled_logprob,
d.advantage, d.block IS NOT NULL AS kept
"""
# of the same content: how often up to this step, each counted once though many rows have it
_SEEN = """
SELECT e.hash, count(DISTINCT e.step) AS seen
FROM captures_datumstat e JOIN (SELECT DISTINCT run_id, step, hash FROM page) p
    ON e.run_id = p.run_id AND e.hash = p.hash AND e.step <= p.step
GROUP BY e.hash
"""
# what it cost the last time before
_BEFORE = """
(SELECT e.loss / nullif(e.trained_tokens, 0) FROM captures_datumstat e
 WHERE e.run_id = d.run_id AND e.hash = d.hash AND e.step < d.step
 ORDER BY e.step DESC LIMIT 1) AS before
"""
_BATCH = """
SELECT count(*), coalesce(min(loss_fn), ''), count(*) FILTER (WHERE trained_tokens = 0),
       count(*) - count(DISTINCT hash), count(*) FILTER (WHERE advantage = 0)
FROM captures_datumstat WHERE run_id = %(run)s AND team_id = %(team)s AND step = %(step)s
"""
_ORDERS = {
    "place": "seq, place",
    "loss": "loss / nullif(trained_tokens, 0) DESC NULLS LAST, seq, place",
    "prompt": '"group", seq, place',
}
_DATUMS = f"""
WITH page AS (
    SELECT *, dense_rank() OVER (ORDER BY first_of_prompt) - 1 AS "group"
    FROM (SELECT *, min(seq * 1000000::numeric + place) OVER (PARTITION BY prompt_hash)
                    AS first_of_prompt
          FROM captures_datumstat
          WHERE run_id = %(run)s AND team_id = %(team)s AND step = %(step)s) numbered
    ORDER BY {{order}} LIMIT %(limit)s OFFSET %(offset)s
)
SELECT {_COLUMNS}, d."group", times.seen, {_BEFORE}
FROM page d JOIN ({_SEEN}) times ON times.hash = d.hash
ORDER BY {{order}}
"""
_ONE = f"""
WITH page AS (
    SELECT * FROM captures_datumstat
    WHERE run_id = %(run)s AND team_id = %(team)s AND id = %(id)s
)
SELECT {_COLUMNS}, 0 AS "group", times.seen, {_BEFORE}
FROM page d JOIN ({_SEEN}) times ON times.hash = d.hash
"""
_WHERE = """
SELECT step, loss_fn, hash, block, "offset", length, part FROM captures_datumstat WHERE id = %(id)s
"""
_TIMES = f"""
SELECT step, loss, logprob FROM (
    SELECT DISTINCT ON (step) step, loss / nullif(trained_tokens, 0) AS loss, logprob
    FROM captures_datumstat WHERE run_id = %(run)s AND hash = %(hash)s
    ORDER BY step DESC, seq LIMIT {MOST_SEEN}) newest
ORDER BY step
"""
_EXAMPLES = f"""
SELECT (array_agg(id ORDER BY step DESC))[1] AS datum,
       max(step) AS step, count(DISTINCT step) AS seen,
       (array_agg(logprob ORDER BY step))[1] AS first,
       (array_agg(logprob ORDER BY step DESC))[1] AS last, max(trained_tokens) AS trained_tokens
FROM captures_datumstat
WHERE run_id = %(run)s AND team_id = %(team)s AND trained_tokens > 0
GROUP BY hash HAVING count(DISTINCT step) > 1
ORDER BY max(step) DESC, hash LIMIT {MOST_EXAMPLES}
"""


async def list_steps(*, actor: Actor, run_id: str, before: int, limit: int) -> list[StepRow]:
    """A page of the steps whose datums were captured, newest first."""
    values = {"run": run_id, "team": actor.team_id, "before": before, "limit": limit}
    async with database.connection() as conn, conn.cursor(row_factory=class_row(StepRow)) as cursor:
        await cursor.execute(_STEPS, values)
        return await cursor.fetchall()


async def read_batch(
    *, actor: Actor, run_id: str, step: int, order: Order, limit: int, offset: int
) -> Batch:
    """A step's datums; no datums of a step that the run does not have."""
    values = {"run": run_id, "team": actor.team_id, "step": step, "limit": limit, "offset": offset}
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(DatumRow)) as cursor,
    ):
        counts = await (await conn.execute(_BATCH, values)).fetchone()
        assert counts is not None
        total, loss_fn, untrained, twice, constant = counts
        await cursor.execute(_DATUMS.format(order=_ORDERS[order]), values)
        rows = await cursor.fetchall()
    return Batch(step, loss_fn, total, untrained, twice, constant, rows)


async def read_datum(*, actor: Actor, run_id: str, datum_id: int) -> FoundDatum:
    """A datum with its positions and the times it was trained on.

    Raises:
        NotFound: the run has no such datum.
    """
    values: dict[str, Any] = {"run": run_id, "team": actor.team_id, "id": datum_id}
    async with database.connection() as conn:
        async with conn.cursor(row_factory=class_row(DatumRow)) as cursor:
            await cursor.execute(_ONE, values)
            row = await cursor.fetchone()
        if row is None:
            raise NotFound(f"the run has no datum {datum_id}")
        where = await (await conn.execute(_WHERE, values)).fetchone()
        assert where is not None
        step, loss_fn, digest, block, offset, length, part = where
        times = await conn.execute(_TIMES, values | {"hash": digest})
        found = [Times(*one) for one in await times.fetchall()]
    positions = None
    if block is not None:
        try:
            positions = _positions(blocks.decode(blocks.read(block, offset, length), part))
        except NotKept:
            positions = None
    return FoundDatum(row, step, loss_fn, positions, found)


async def list_examples(*, actor: Actor, run_id: str) -> list[Example]:
    """What was trained on in several steps: of the newest so many."""
    values = {"run": run_id, "team": actor.team_id}
    async with database.connection() as conn, conn.cursor(row_factory=class_row(Example)) as cursor:
        await cursor.execute(_EXAMPLES, values)
        return await cursor.fetchall()


def _positions(arrays: dict[str, np.ndarray[Any, Any]]) -> Positions:
    targets, trained = arrays["targets"], arrays["trained"]
    shown = slice(0, MOST_TOKENS)
    first = arrays["tokens"][:1].tolist()
    return Positions(
        tokens=[*first, *targets[shown].tolist()],
        trained=[*(False for _ in first), *trained[shown].tolist()],
        logprobs=_beside(first, arrays.get("logprobs"), shown),
        sampled=_beside(first, arrays.get("sampled"), shown),
        weights=_beside(first, arrays.get("weights"), shown),
        advantages=_beside(first, arrays.get("advantages"), shown),
        cut=max(0, len(targets) - MOST_TOKENS),
    )


def _beside(
    first: Sequence[int], column: np.ndarray[Any, Any] | None, shown: slice
) -> list[float | None]:
    """A column as JSON has it, behind the first input; empty if the datum has none."""
    if column is None:
        return []
    values = column[shown].astype(np.float64).tolist()
    return [
        *(None for _ in first),
        *(round(value, 5) if value - value == 0 else None for value in values),
    ]
