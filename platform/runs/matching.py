"""Prompts that occur in the rollouts of two runs or more, and what the difference is worth.

A prompt is the same where its text is, or its tokens where programs sent no text. What is compared
is its mean reward in each run, over all rollouts that are looked at. The interval of the mean
difference comes from a paired bootstrap over prompts, which is drawn with a fixed seed: the same
rollouts have the same interval.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from core import database
from runs.steps import PREVIEW, PREVIEW_TOKENS

# of each run its newest; their prompts are hashed by the database
MAX_ROLLOUTS = 20_000
# fewer prompts say nothing that could be relied on
LEAST_PROMPTS = 6
RESAMPLES = 2000
CONFIDENCE = 0.95
_SEED = 20_261_129
_DRAWN_AT_ONCE = 2_000_000

_MATCHED = f"""
WITH looked_at AS (
    SELECT u.place, r.step, r."group",
           hashtextextended(coalesce(r.prompt, r.prompt_tokens::text),
                            (r.prompt IS NULL)::int)::text AS prompt,
           CASE WHEN r.reward < 'Infinity' AND r.reward > '-Infinity' THEN r.reward END AS reward
    FROM unnest(%(runs)s::text[]) WITH ORDINALITY AS u(run_id, place)
    CROSS JOIN LATERAL (
        SELECT step, "group", reward, prompt, prompt_tokens FROM runs_rollout o
        WHERE o.run_id = u.run_id ORDER BY step DESC, "group" DESC, index DESC
        LIMIT {MAX_ROLLOUTS}) r
    WHERE r.prompt IS NOT NULL OR r.prompt_tokens IS NOT NULL
), by_run AS (
    SELECT prompt, place, avg(reward) AS mean, count(reward) AS rewarded,
           max(ARRAY[step, "group"]) AS newest
    FROM looked_at GROUP BY prompt, place HAVING count(reward) > 0
)
SELECT prompt, array_agg(place ORDER BY place), array_agg(mean ORDER BY place),
       array_agg(rewarded ORDER BY place), array_agg(newest[1] ORDER BY place),
       array_agg(newest[2] ORDER BY place)
FROM by_run GROUP BY prompt HAVING count(*) > 1 ORDER BY prompt
"""
_PREVIEWS = f"""
SELECT w.prompt, r.text, r.tokens
FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) AS w(prompt, run_id, step, "group")
CROSS JOIN LATERAL (
    SELECT left(o.prompt, {PREVIEW}) AS text, o.prompt_tokens[1:{PREVIEW_TOKENS}] AS tokens
    FROM runs_rollout o
    WHERE o.run_id = w.run_id AND o.step = w.step AND o."group" = w."group"
      AND (o.prompt IS NOT NULL OR o.prompt_tokens IS NOT NULL)
    ORDER BY o.index LIMIT 1) r
"""


@dataclass(frozen=True, slots=True)
class InRun:
    """A prompt in one run: mean reward of so many rollouts, and where it stands last."""

    mean: float
    rollouts: int
    step: int
    group: int


@dataclass(slots=True)
class MatchedPrompt:
    """A prompt in each run, in their order, None where it does not occur.

    Attributes:
        spread: the greatest mean less the least.
        preview: its beginning, as text or as tokens.
    """

    prompt: str
    runs: list[InRun | None]
    spread: float
    preview: str | None = None
    preview_tokens: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """How much better a run is than the first, on the prompts that both have.

    `low` and `high` bound the mean difference with 95 %; None where the prompts are too few.
    """

    place: int
    prompts: int
    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Matches:
    """A page of matched prompts, most disputed first, how many in all, and the differences."""

    prompts: list[MatchedPrompt]
    total: int
    differences: list[Difference]


async def read(*, run_ids: Sequence[str], offset: int, limit: int) -> Matches:
    """The prompts that at least two of the runs have, with rewards; the runs were found before."""
    async with database.connection() as conn:
        rows = await (await conn.execute(_MATCHED, {"runs": list(run_ids)})).fetchall()
        matched = [_matched(row, len(run_ids)) for row in rows]
        differences = await asyncio.to_thread(_differences, matched, len(run_ids))
        # by hash where they are alike, so that pages do not overlap
        page = sorted(matched, key=lambda one: (-one.spread, one.prompt))[offset : offset + limit]
        await _add_previews(conn, page, run_ids)
    return Matches(page, len(matched), differences)


def _matched(row: tuple[Any, ...], count: int) -> MatchedPrompt:
    prompt, places, means, rewarded, steps, groups = row
    runs: list[InRun | None] = [None] * count
    for place, *found in zip(places, means, rewarded, steps, groups, strict=True):
        runs[place - 1] = InRun(*found)
    return MatchedPrompt(prompt, runs, max(means) - min(means))


async def _add_previews(
    conn: database.Connection, page: list[MatchedPrompt], run_ids: Sequence[str]
) -> None:
    where = []
    for one in page:
        place, found = next((at, run) for at, run in enumerate(one.runs) if run is not None)
        where.append((one.prompt, run_ids[place], found.step, found.group))
    columns = [list(column) for column in zip(*where, strict=True)] or [[], [], [], []]
    rows = await (await conn.execute(_PREVIEWS, columns)).fetchall()
    texts = {prompt: (text, tokens) for prompt, text, tokens in rows}
    for one in page:
        one.preview, one.preview_tokens = texts.get(one.prompt, (None, None))


def _differences(matched: Sequence[MatchedPrompt], count: int) -> list[Difference]:
    """Each run but the first against the first."""
    return [_difference(matched, place) for place in range(1, count)]


def _difference(matched: Sequence[MatchedPrompt], place: int) -> Difference:
    pairs = [
        (one.runs[0].mean, other.mean)
        for one in matched
        if one.runs[0] is not None and (other := one.runs[place]) is not None
    ]
    if len(pairs) < LEAST_PROMPTS:
        return Difference(place, len(pairs), None, None, None)
    first, second = np.array(pairs).T
    low, high = interval(second - first)
    return Difference(place, len(pairs), float((second - first).mean()), low, high)


def interval(differences: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of the mean of differences, by resampling prompts.

    Args:
        differences: float64 [prompts], in an order of their own, not that of rows.
    """
    generator = np.random.default_rng(_SEED)
    n = differences.size
    at_once = max(1, _DRAWN_AT_ONCE // n)
    means = [
        differences[generator.integers(0, n, (min(at_once, RESAMPLES - done), n))].mean(axis=1)
        for done in range(0, RESAMPLES, at_once)
    ]
    beyond = (1 - CONFIDENCE) / 2
    low, high = np.quantile(np.concatenate(means), [beyond, 1 - beyond])
    return float(low), float(high)
