"""A stretch of a run's time as lanes of rectangles, never more than a browser can take.

Moments are seconds from the stretch's beginning. Where there are too many, neighbours are put
together, and the picture says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal

import numpy as np

from runs.timeline.blame import CAUSES, Course
from runs.timeline.facts import Cause, Work
from runs.timeline.reading import Served, Stretch

MOST_RECTANGLES = 2000
MOST_OPERATIONS = 300
MOST_STEPS = 200
BUCKETS = 120
# a moment is told to the tenth of a millisecond
DIGITS = 4

Lane = Literal["cause", "program", "queue", "engine", "delivery"]
LANES: tuple[Lane, ...] = ("cause", "program", "queue", "engine", "delivery")

_Box = tuple[float, float, str, int, int | None]


@dataclass(slots=True)
class Rectangles:
    """A lane's rectangles as columns.

    Attributes:
        kinds: numbers in the picture's `kinds`.
        counts: how many operations each is made of.
        operations: the id of the one that it is, else null.
    """

    lane: Lane
    starts: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    operations: list[int | None] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class OperationTimes:
    """An operation with its moments, in seconds from the stretch's beginning; null: not known.

    `waits` are seconds by cause between its arrival and the engine's beginning it.
    """

    id: int
    target: str
    seq: int
    kind: str
    state: str
    bytes: int
    error: str | None
    created: float
    claimed: float | None
    began: float | None
    ended: float | None
    finished: float | None
    delivered: float | None
    waits: dict[str, float]


@dataclass(slots=True)
class Speed:
    """Tokens a second that the engine did for the run, in buckets of `width` seconds."""

    width: float
    tokens: list[float]


@dataclass(frozen=True, slots=True)
class StepEnd:
    """When an optimizer step was done, and which it was, from 0 on."""

    at: float
    step: int


@dataclass(slots=True)
class Picture:
    """Lanes, their words, and the steps that ended; `merged_below`: what is closer is one."""

    kinds: list[str]
    lanes: list[Rectangles]
    merged_below: float | None
    steps: list[StepEnd]
    speed: Speed


def boxes_of(works: Sequence[Work], last: float) -> dict[Lane, list[_Box]]:
    """What each lane shows of operations."""
    found: dict[Lane, list[_Box]] = {lane: [] for lane in LANES}
    for work in works:
        pairs: tuple[tuple[Lane, float, float], ...] = (
            ("queue", work.created, work.began),
            ("engine", work.began, work.ended),
            ("delivery", work.ended, work.delivered if work.delivered < inf else work.finished),
        )
        for lane, began, ended in pairs:
            if began < last and ended > began:
                found[lane].append((began, ended, work.kind, 1, work.id))
    return found


def causes_of(course: Course, least: float) -> list[_Box]:
    """The cause that most of each moment went to; what is shorter than `least` joins its left."""
    boxes: list[_Box] = []
    if not course.shares.size:
        return boxes
    for at, cause in enumerate(np.argmax(course.shares, axis=0).tolist()):
        began, ended = float(course.edges[at]), float(course.edges[at + 1])
        name = str(CAUSES[cause])
        if boxes and (boxes[-1][2] == name or ended - began < least):
            boxes[-1] = (boxes[-1][0], ended, boxes[-1][2], 1, None)
        else:
            boxes.append((began, ended, name, 1, None))
    return boxes


def merge(boxes: list[_Box], apart: float) -> list[_Box]:
    """Neighbours of one kind that are closer than `apart` seconds put together."""
    merged: list[_Box] = []
    open_at: dict[str, int] = {}
    for began, ended, kind, count, operation in sorted(boxes, key=lambda box: box[0]):
        at = open_at.get(kind)
        if at is not None and began - merged[at][1] < apart:
            before = merged[at]
            merged[at] = (before[0], max(before[1], ended), kind, before[3] + count, None)
        else:
            open_at[kind] = len(merged)
            merged.append((began, ended, kind, count, operation))
    return merged


def draw(stretch: Stretch, course: Course, steps: list[tuple[float, int]]) -> Picture:
    """The picture of a stretch."""
    first, last = stretch.first, stretch.last
    length = max(last - first, 1e-3)
    works = [work for work in stretch.facts.works if _shown(work, first, last)]
    lanes = boxes_of(works, last)
    lanes["cause"] = causes_of(course, length / 500)
    lanes["program"] = [box for box in lanes["cause"] if box[2] == Cause.PROGRAM]
    apart, merged = length / 2000, False
    while sum(map(len, lanes.values())) > MOST_RECTANGLES:
        lanes = {lane: merge(boxes, apart) for lane, boxes in lanes.items()}
        merged = True
        apart *= 2
    kinds = sorted({box[2] for boxes in lanes.values() for box in boxes})
    return Picture(
        kinds=kinds,
        lanes=[_columns(lane, boxes, kinds, stretch) for lane, boxes in lanes.items()],
        merged_below=round(apart / 2, DIGITS) if merged else None,
        steps=[StepEnd(round(at - first, DIGITS), step) for at, step in steps[-MOST_STEPS:]],
        speed=_speed(stretch.served, first, length),
    )


def _shown(work: Work, first: float, last: float) -> bool:
    over = work.delivered if work.delivered < inf else work.finished
    return work.created < last and over >= first


def _columns(lane: Lane, boxes: list[_Box], kinds: list[str], stretch: Stretch) -> Rectangles:
    drawn = Rectangles(lane)
    for began, ended, kind, count, operation in boxes:
        drawn.starts.append(round(max(began, stretch.first) - stretch.first, DIGITS))
        drawn.ends.append(round(min(ended, stretch.last) - stretch.first, DIGITS))
        drawn.kinds.append(kinds.index(kind))
        drawn.counts.append(count)
        drawn.operations.append(operation)
    return drawn


def _speed(served: Sequence[Served], first: float, length: float) -> Speed:
    width = max(length / BUCKETS, 0.1)
    tokens = np.zeros(BUCKETS)
    for one in served:
        at = int(((one.turn.began + one.turn.ended) / 2 - first) // width)
        if 0 <= at < BUCKETS:
            tokens[at] += one.run_tokens
    return Speed(round(width, DIGITS), [round(float(count / width), 1) for count in tokens])


def times_of(
    row: dict[str, Any], work: Work, waits: dict[Cause, float], first: float
) -> OperationTimes:
    """An operation for who looks at it closely."""

    def since(moment: float | None) -> float | None:
        return None if moment is None or moment == inf else round(moment - first, DIGITS)

    return OperationTimes(
        id=row["id"],
        target=row["target"],
        seq=row["seq"],
        kind=row["kind"],
        state=row["state"],
        bytes=row["cost"],
        error=row["error"],
        created=round(work.created - first, DIGITS),
        claimed=since(work.claimed),
        began=since(row["began"] and work.began),
        ended=since(row["ended"] and work.ended),
        finished=since(work.finished),
        delivered=since(work.delivered),
        waits={str(cause): round(s, DIGITS) for cause, s in waits.items() if s > 1e-4},
    )
