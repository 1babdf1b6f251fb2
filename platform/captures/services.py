"""Writing what was captured: many rows of many runs in one transaction, with the events of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from typing import Any

from psycopg import Connection

from captures import keeping
from events import services as events
from events.models import Kind


@dataclass(frozen=True, slots=True)
class Step:
    """A row of `StepStat`; of a run that is no more it is left out."""

    run_id: str
    step: int
    first_seq: int
    last_seq: int
    loss_fn: str
    passes: int
    datums: int
    tokens: int
    trained_tokens: int
    loss_sum: float | None = None
    learning_rate: float | None = None
    grad_norm: float | None = None
    seconds: float | None = None
    sampled_tokens: int | None = None
    kl_v1: float | None = None
    kl_v2: float | None = None
    entropy: float | None = None
    ratio_p50: float | None = None
    ratio_p99: float | None = None
    clipped_share: float | None = None
    constant_share: float | None = None
    length_mean: float | None = None
    length_max: float | None = None
    groups: int | None = None
    mixed_share: float | None = None
    pairs: int | None = None
    pair_loss: float | None = None
    accuracy: float | None = None
    margin: float | None = None
    chosen: float | None = None
    rejected: float | None = None


@dataclass(frozen=True, slots=True)
class Datum:
    """A row of `DatumStat`; `block`, `offset`, `length` and `part` are None where none is kept."""

    run_id: str
    step: int
    seq: int
    place: int
    loss_fn: str
    tokens: int
    trained_tokens: int
    loss: float
    logprob: float | None
    sampled_logprob: float | None
    advantage: float | None
    hash: int
    prompt_hash: int
    block: str | None = None
    offset: int | None = None
    length: int | None = None
    part: int | None = None


@dataclass(frozen=True, slots=True)
class Dropped:
    """Passes of a run whose gradient was dropped before a step: they are part of none.

    It holds for those before operation `seq`, whoever has captured them.
    """

    run_id: str
    step: int
    seq: int

    def has(self, datum: Datum) -> bool:
        """Whether a datum is of these passes."""
        return (datum.run_id, datum.step) == (self.run_id, self.step) and datum.seq < self.seq


_TYPES = {"str": "text", "int": "bigint", "float": "float8"}


def _insert(table: str, row: type, conflict: str) -> str:
    """The statement that adds rows given as one array a column, with their runs' teams."""
    names = [f'"{field.name}"' for field in fields(row)]
    arrays = [f"%s::{_TYPES[str(field.type).removesuffix(' | None')]}[]" for field in fields(row)]
    return f"""
        INSERT INTO {table} (team_id, {", ".join(names)})
        SELECT r.team_id, given.* FROM unnest({", ".join(arrays)}) AS given({", ".join(names)})
        JOIN runs_trainingrun r ON r.id = given.run_id
        ON CONFLICT {conflict} DO NOTHING
    """


# what a worker does again after a crash is captured again
_ADD_STEPS = _insert("captures_stepstat", Step, "(run_id, step)")
_ADD_DATUMS = _insert("captures_datumstat", Datum, "(run_id, step, seq, place)")
_DROP = """
DELETE FROM captures_datumstat d
USING unnest(%s::text[], %s::bigint[], %s::bigint[]) AS gone(run, step, seq)
WHERE d.run_id = gone.run AND d.step = gone.step AND d.seq < gone.seq RETURNING d.run_id, d.step
"""
_LAST_CAPTURED = """
SELECT seq FROM captures_datumstat WHERE run_id = %s ORDER BY step DESC, seq DESC LIMIT 1
"""
_KEEPS = """
SELECT r.id, t.capture_tokens AND coalesce(r.user_metadata ->> 'capture', '') <> 'off'
FROM runs_trainingrun r JOIN accounts_team t ON t.id = r.team_id WHERE r.id = ANY(%s)
"""
_STEPS_BEFORE = """
SELECT count(*) FROM operations_operation
WHERE target = %s AND seq < %s AND kind = 'optim_step' AND state = 'done'
"""
# Passes without gradients have no part in it: the ledger tells which had. What drops the gradient
# is what `operations.restoring` does again, and loading weights.
_GATHERED = """
SELECT EXISTS (
    SELECT FROM operations_operation o
    JOIN usage_entry e ON e.operation_id = o.id AND e.kind = 'train'
    WHERE o.target = %(run)s AND o.seq < %(seq)s
      AND o.kind = 'forward_backward' AND o.state = 'done'
      AND o.seq > coalesce((
          SELECT d.seq FROM operations_operation d
          WHERE d.target = %(run)s AND d.seq < %(seq)s
            AND (d.kind = 'missing' OR d.kind IN ('optim_step', 'load_weights') AND d.state = 'done'
                 OR d.kind = 'optim_step' AND starts_with(d.error, %(diverged)s))
          ORDER BY d.seq DESC LIMIT 1), -1))
"""


def write(
    conn: Connection[Any],
    *,
    steps: Sequence[Step],
    datums: Sequence[Datum],
    dropped: Sequence[Dropped] = (),
    kept: Sequence[keeping.Kept] = (),
) -> None:
    """Add what was captured, and tell the pages. Rows that are there already stay as they are."""
    places = [(one.run_id, one.step) for one in steps]
    places += [(one.run_id, one.step) for one in datums]
    with conn.transaction():
        if dropped:
            places += conn.execute(_DROP, _columns(dropped)).fetchall()
        if steps:
            conn.execute(_ADD_STEPS, _columns(steps))
        if datums:
            conn.execute(_ADD_DATUMS, _columns(datums))
        keeping.note(conn, kept)
        told = _told(conn, places)
        events.write_sync(conn, *told)
    if told:
        events.announce(conn)


def steps_before(conn: Connection[Any], *, run_id: str, seq: int) -> int:
    """How many optimizer steps a run had taken before an operation of its."""
    row = conn.execute(_STEPS_BEFORE, (run_id, seq)).fetchone()
    assert row is not None
    return int(row[0])


def has_gathered(conn: Connection[Any], *, run_id: str, seq: int, diverged: str) -> bool:
    """Whether passes before an operation of a run have added to the gradient that it found.

    Args:
        diverged: how the error of a step begins that was not taken, but dropped the gradient.
    """
    values = {"run": run_id, "seq": seq, "diverged": diverged}
    row = conn.execute(_GATHERED, values).fetchone()
    assert row is not None
    return bool(row[0])


def last_captured(conn: Connection[Any], *, run_id: str) -> int:
    """The seq of the last pass of a run whose datums were captured; -1 if there is none."""
    row = conn.execute(_LAST_CAPTURED, (run_id,)).fetchone()
    return -1 if row is None else int(row[0])


def keeps_tokens(conn: Connection[Any], run_ids: Iterable[str]) -> dict[str, bool]:
    """Of runs, whether tokens and logprobs are kept: as their team wants it, and their program."""
    rows = conn.execute(_KEEPS, (list(run_ids),))
    return {run_id: bool(keeps) for run_id, keeps in rows.fetchall()}


def _columns(rows: Iterable[Any]) -> list[list[Any]]:
    return [list(column) for column in zip(*(astuple(row) for row in rows), strict=True)]


def _told(conn: Connection[Any], places: list[tuple[str, int]]) -> list[events.NewEvent]:
    spans: dict[str, list[int]] = {}
    for run_id, step in places:
        spans.setdefault(run_id, []).append(step)
    rows = conn.execute(
        "SELECT id, team_id FROM runs_trainingrun WHERE id = ANY(%s)", (list(spans),)
    )
    return [
        events.event(
            Kind.STEPS_CAPTURED,
            run_id,
            team_id=team_id,
            run_id=run_id,
            first_step=min(spans[run_id]),
            last_step=max(spans[run_id]),
        )
        for run_id, team_id in rows.fetchall()
    ]
