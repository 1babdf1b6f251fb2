"""One group of a run's recorded rollouts, side by side: as much of it as a page can show.

A group may name the same long sequence a hundred thousand times. So its lengths are read first,
then a budget for the whole group is drawn down in the order of its rollouts, and no more is read
than that.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from psycopg.rows import class_row

from accounts.actors import Actor
from core import database
from runs.steps import MAX_OF_GROUP

# of one text or list of tokens, and of a whole group; whoever wants more reads it through the API
MAX_CHARACTERS = 40_000
MAX_CHARACTERS_OF_GROUP = 2_000_000
MAX_TOKENS = 8192
MAX_TOKENS_OF_GROUP = 200_000
MAX_TURNS_OF_GROUP = 2000


@dataclass(frozen=True, slots=True)
class Said:
    """The beginning of a text, or of tokens with the logprobs that are known of them.

    `length`: characters or tokens in all.
    """

    length: int
    text: str | None = None
    tokens: list[int] | None = None
    logprobs: list[float] | None = None


@dataclass(frozen=True, slots=True)
class GroupedRollout:
    """A rollout with the beginnings of what was said; None among its turns: no longer kept.

    Attributes:
        tokens: of all its turns.
        untold: tokens of the turns that are not among `turns`; None if all are.
    """

    index: int
    prompt: Said | None
    turns: list[Said | None]
    tokens: int
    untold: int | None
    reward: float | None
    components: dict[str, Any]
    tags: list[str]
    data: dict[str, Any]
    time: datetime


@dataclass(frozen=True, slots=True)
class _Row:
    """A rollout and how long its parts are."""

    id: int
    index: int
    prompt: int | None
    prompt_tokens: int | None
    completion: int | None
    completion_tokens: int | None
    named: int
    names: list[str]
    sampled: int
    reward: float | None
    components: dict[str, Any]
    tags: list[str]
    data: dict[str, Any]
    time: datetime


_ROWS = f"""
SELECT r.id, r.index,
       char_length(r.prompt) AS prompt, cardinality(r.prompt_tokens) AS prompt_tokens,
       char_length(r.completion) AS completion,
       cardinality(r.completion_tokens) AS completion_tokens,
       r.named, coalesce(r.sequences[1:%(turns)s - r.before], '{{}}') AS names,
       (SELECT coalesce(sum(octet_length(s.tokens) / 4), 0)::bigint
        FROM unnest(r.sequences) AS n(name)
        JOIN runs_sequence s ON s.run_id = r.run_id AND s.name = n.name) AS sampled,
       r.reward, r.components, coalesce(r.tags, '{{}}') AS tags, r.data, r.time
FROM (SELECT *, coalesce(cardinality(sequences), 0) AS named,
             (sum(coalesce(cardinality(sequences), 0)) OVER (ORDER BY index)
              - coalesce(cardinality(sequences), 0))::int AS before
      FROM (SELECT * FROM runs_rollout
            WHERE run_id = %(run)s AND team_id = %(team)s AND step = %(step)s
              AND "group" = %(group)s
            ORDER BY index LIMIT {MAX_OF_GROUP}) chosen) r
ORDER BY r.index
"""
_LENGTHS = """
SELECT name, octet_length(tokens) / 4 FROM runs_sequence WHERE run_id = %s AND name = ANY(%s)
"""
# what is sampled is as long in float32 as in int32
_SEQUENCES = """
SELECT s.name, substring(s.tokens FROM 1 FOR 4 * w.most),
       substring(s.logprobs FROM 1 FOR 4 * w.most)
FROM unnest(%s::text[], %s::int[]) AS w(name, most)
JOIN runs_sequence s ON s.run_id = %s AND s.name = w.name
"""
_GIVEN = """
SELECT r.id, left(r.prompt, w.prompt), r.prompt_tokens[1:w.prompt_tokens],
       left(r.completion, w.completion), r.completion_tokens[1:w.completion_tokens]
FROM unnest(%s::bigint[], %s::int[], %s::int[], %s::int[], %s::int[])
     AS w(id, prompt, prompt_tokens, completion, completion_tokens)
JOIN runs_rollout r ON r.id = w.id
"""


class _Budget:
    """How much of a group may still be shown."""

    def __init__(self) -> None:
        self._characters, self._tokens = MAX_CHARACTERS_OF_GROUP, MAX_TOKENS_OF_GROUP

    def characters(self, length: int) -> int:
        """How many of so many to show."""
        shown = min(length, MAX_CHARACTERS, self._characters)
        self._characters -= shown
        return shown

    def tokens(self, length: int) -> int:
        """How many of so many to show."""
        shown = min(length, MAX_TOKENS, self._tokens)
        self._tokens -= shown
        return shown

    def given(self, characters: int | None, tokens: int | None) -> tuple[int, int]:
        """How much of a text, and of the tokens that stand for it where there is none."""
        if characters is not None:
            return self.characters(characters), 0
        return 0, self.tokens(tokens or 0)


async def read_group(*, actor: Actor, run_id: str, step: int, group: int) -> list[GroupedRollout]:
    """The rollouts of a group by index, at most `MAX_OF_GROUP`; of long ones the beginnings."""
    async with database.connection() as conn:
        async with conn.cursor(row_factory=class_row(_Row)) as cursor:
            values = {"run": run_id, "team": actor.team_id, "step": step, "group": group}
            await cursor.execute(_ROWS, values | {"turns": MAX_TURNS_OF_GROUP})
            rows = await cursor.fetchall()
        names = list({name for row in rows for name in row.names})
        found = await (await conn.execute(_LENGTHS, (run_id, names))).fetchall()
        lengths: dict[str, int] = dict(found)
        budget = _Budget()
        given: list[tuple[int, ...]] = []
        shown: list[list[int]] = []
        for row in rows:
            prompt = budget.given(row.prompt, row.prompt_tokens)
            shown.append([budget.tokens(lengths.get(name, 0)) for name in row.names])
            # a program's own words count only where nothing is known of what was sampled
            own = (0, 0) if row.named else budget.given(row.completion, row.completion_tokens)
            given.append((row.id, *prompt, *own))
        kept = await _read_sequences(conn, run_id, rows, shown)
        columns = [[one[place] for one in given] for place in range(5)]
        read = await conn.execute(_GIVEN, columns)
        parts = {one[0]: one[1:] for one in await read.fetchall()}
    return [
        _rollout(row, parts[row.id], _turns(row, most, lengths, kept))
        for row, most in zip(rows, shown, strict=True)
        if row.id in parts
    ]


async def _read_sequences(
    conn: database.Connection, run_id: str, rows: Iterable[_Row], shown: Iterable[list[int]]
) -> dict[str, tuple[list[int], list[float]]]:
    """The beginnings of the sequences of which something is shown, each once."""
    wanted: dict[str, int] = {}
    for row, most in zip(rows, shown, strict=True):
        for name, tokens in zip(row.names, most, strict=True):
            if tokens:
                wanted[name] = max(tokens, wanted.get(name, 0))
    cursor = await conn.execute(_SEQUENCES, ([*wanted], [*wanted.values()], run_id))
    return {
        name: (np.frombuffer(tokens, "<i4").tolist(), np.frombuffer(logprobs, "<f4").tolist())
        for name, tokens, logprobs in await cursor.fetchall()
    }


def _turns(
    row: _Row,
    shown: list[int],
    lengths: dict[str, int],
    kept: dict[str, tuple[list[int], list[float]]],
) -> list[Said | None]:
    turns: list[Said | None] = []
    for name, most in zip(row.names, shown, strict=True):
        tokens, logprobs = kept.get(name, ([], []))
        told = Said(lengths.get(name, 0), tokens=tokens[:most], logprobs=logprobs[:most])
        turns.append(told if name in lengths else None)
    return turns


def _rollout(row: _Row, given: tuple[Any, ...], turns: list[Said | None]) -> GroupedRollout:
    prompt, prompt_tokens, completion, completion_tokens = given
    tokens = row.sampled
    if not row.named:
        own = _given(row.completion, completion, row.completion_tokens, completion_tokens)
        turns = [] if own is None else [own]
        tokens = row.completion_tokens or 0
    told = sum(one.length for one in turns if one is not None)
    return GroupedRollout(
        index=row.index,
        prompt=_given(row.prompt, prompt, row.prompt_tokens, prompt_tokens),
        turns=turns,
        tokens=tokens,
        untold=max(0, tokens - told) if len(row.names) < row.named else None,
        reward=row.reward,
        components=row.components,
        tags=row.tags,
        data=row.data,
        time=row.time,
    )


def _given(
    characters: int | None, text: str | None, length: int | None, tokens: list[int] | None
) -> Said | None:
    """What a program sent of a rollout: its text, else its tokens."""
    if characters is not None:
        return Said(characters, text=text or "")
    return None if length is None else Said(length, tokens=tokens or [])
