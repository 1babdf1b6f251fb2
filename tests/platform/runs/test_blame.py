"""Every moment of a run has a cause: shares add up, each delay falls where it belongs."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runs.timeline.blame import CAUSES, Course, course, waits_of
from runs.timeline.facts import Cause, EngineTurn, Facts, Work

MOMENTS = st.floats(0, 100)
INTERVALS = st.lists(
    st.tuples(MOMENTS, st.floats(0, 20)).map(lambda pair: (pair[0], sum(pair))), max_size=5
)
KINDS = st.sampled_from(["forward_backward", "optim_step", "save_weights", "sample"])


@st.composite
def works(draw: st.DrawFn) -> Work:
    """An operation with its moments in order; from some on they have not come."""
    moments = sorted(draw(st.lists(MOMENTS, min_size=6, max_size=6)))
    known = draw(st.integers(1, 6))
    moments = moments[:known] + [inf] * (6 - known)
    work = Work(1, "r", draw(st.integers(0, 9)), draw(KINDS), *moments[:5], inf, moments[5])
    work.asked = draw(MOMENTS) if draw(st.booleans()) else inf
    work.ready = draw(MOMENTS)
    work.after = draw(MOMENTS)
    work.put_in_order()
    return work


@st.composite
def turns(draw: st.DrawFn) -> list[EngineTurn]:
    """Turns one after another."""
    found, now = [], 0.0
    for _ in range(draw(st.integers(0, 6))):
        now += draw(st.floats(0, 10))
        length = draw(st.floats(0.01, 10))
        own, team, others = (draw(st.floats(0, 1)) for _ in range(3))
        scale = draw(st.floats(0, 1)) * length / max(own + team + others, 1e-6)
        found.append(EngineTurn(now, now + length, own * scale, team * scale, others * scale))
        now += length
    return found


@given(
    st.builds(Facts, st.lists(works(), max_size=6), turns(), INTERVALS, INTERVALS, INTERVALS),
    st.floats(0, 50),
    st.floats(0.1, 60),
)
def test_causes_add_up_to_the_time_that_passed(facts: Facts, first: float, length: float) -> None:
    found = course(facts, first, first + length)
    spent = found.spent()
    assert sum(spent.values()) == pytest.approx(length)
    assert all(seconds >= -1e-9 for seconds in spent.values())
    middle = first + length / 3
    halves = [found.between(first, middle), found.between(middle, first + length)]
    for cause in CAUSES:
        assert halves[0][cause] + halves[1][cause] == pytest.approx(spent[cause], abs=1e-6)
    for work, waited in zip(facts.works, waits_of(facts.works, found), strict=True):
        inside = min(work.began, first + length) - max(work.created, first)
        if work.created >= first:
            assert sum(waited.values()) == pytest.approx(max(0.0, inside), abs=1e-6)
        assert all(seconds >= -1e-9 for seconds in waited.values())


@given(st.lists(works(), max_size=5), turns())
def test_without_others_nobody_else_is_blamed(made: list[Work], some: list[EngineTurn]) -> None:
    alone = [EngineTurn(turn.began, turn.ended, turn.own) for turn in some]
    spent = course(Facts(made, alone, workers=[(0, 200)]), 0, 100).spent()
    for cause in (Cause.TEAM, Cause.OTHERS, Cause.LIMITED, Cause.NO_WORKER):
        assert spent[cause] == 0


def op(seq: int, *moments: float, kind: str = "forward_backward", **more: float) -> Work:
    """An operation: created, claimed, began, ended, finished, asked, delivered."""
    padded = [*moments, *[inf] * (7 - len(moments))]
    work = Work(seq, "r", seq, kind, *padded)
    for name, value in more.items():
        setattr(work, name, value)
    work.put_in_order()
    return work


def spent(last: float = 10, **facts: object) -> dict[Cause, float]:
    """Seconds of each cause that has any."""
    made = Facts(**{"workers": [(-100, 100)], **facts})  # type: ignore[arg-type]
    return {c: round(s, 3) for c, s in course(made, 0, last).spent().items() if s > 1e-6}


STEP = op(1, 1, 1.1, 1.2, 3, 3.1, 1, 3.3)


def test_a_step_alone() -> None:
    assert spent(works=[STEP]) == {
        Cause.ENGINE: 1.8, Cause.WIRE: 0.5, Cause.PROGRAM: 7.7,
    }  # fmt: skip


def test_an_outcome_that_nobody_asks_for_waits_for_the_program() -> None:
    late = op(1, 1, 1, 1, 3, 3, 8, 8.5)
    assert spent(works=[late]) == {Cause.ENGINE: 2, Cause.WIRE: 0.5, Cause.PROGRAM: 7.5}


def test_others_are_served_first() -> None:
    busy = [EngineTurn(1, 4, others=2, team=1), EngineTurn(4, 6, own=2)]
    assert spent(works=[op(1, 1, 1, 4, 6, 6, 0, 6)], turns=busy) == {
        Cause.OTHERS: 2, Cause.TEAM: 1, Cause.ENGINE: 2, Cause.PROGRAM: 5,
    }  # fmt: skip


def test_turns_are_shared_by_seconds() -> None:
    shared = [EngineTurn(2, 6, own=1, others=3)]
    assert spent(works=[op(1, 2, 2, 2, 6, 6, 0, 6)], turns=shared) == {
        Cause.ENGINE: 1, Cause.OTHERS: 3, Cause.PROGRAM: 6,
    }  # fmt: skip


def test_what_others_do_while_nothing_waits_is_nobodys_delay() -> None:
    assert spent(turns=[EngineTurn(0, 10, others=10)]) == {Cause.PROGRAM: 10}


def test_own_work_counts_before_what_waits_behind_it() -> None:
    """A pipelined program: two queue behind one, and the engine never rests."""
    line = [
        op(1, 0, 0, 0, 3, 3, 0, 3),
        op(2, 0, 0, 3, 6, 6, 0, 6, after=3),
        op(3, 0, 0, 6, 10, 10, 0, 10, after=6),
    ]
    assert spent(works=line) == {Cause.ENGINE: 10}
    whole = course(Facts(line, workers=[(0, 9)]), 0, 10)
    waits = [{c: s for c, s in one.items() if s} for one in waits_of(line, whole)]
    assert waits == [{}, {Cause.QUEUE: 3}, {Cause.QUEUE: 6}]


def test_files_workers_limits_and_gaps() -> None:
    save = op(1, 1, 1, 1, 4, 4, 0, 4, kind="save_weights")
    assert spent(works=[save]) == {Cause.FILES: 3, Cause.PROGRAM: 7}
    waiting = op(1, 1, 5.5, 5.5, 6, 6, 0, 6)
    workers = [(-5, 1.5), (5, 50)]
    assert spent(works=[waiting], workers=workers) == {
        Cause.WIRE: 1, Cause.NO_WORKER: 3.5, Cause.ENGINE: 0.5, Cause.PROGRAM: 5,
    }  # fmt: skip
    assert spent(works=[waiting], delays=[(1, 5.5)]) == {
        Cause.FILES: 4.5, Cause.ENGINE: 0.5, Cause.PROGRAM: 5,
    }  # fmt: skip
    assert spent(limits=[(1, 3)]) == {Cause.LIMITED: 4, Cause.PROGRAM: 6}
    gap = op(5, 1, 4, 4, 6, 6, 0, 6, ready=4)
    assert spent(works=[gap]) == {Cause.QUEUE: 3, Cause.ENGINE: 2, Cause.PROGRAM: 5}


def test_what_has_no_cause_is_shown() -> None:
    stuck = op(1, 1, 8, 8, 9, 9, 0, 9)
    assert spent(works=[stuck]) == {
        Cause.WIRE: 1, Cause.UNEXPLAINED: 6, Cause.ENGINE: 1, Cause.PROGRAM: 2,
    }  # fmt: skip
    slow_to_write = op(1, 1, 1, 1, 2, 7, 0, 7)
    assert spent(works=[slow_to_write])[Cause.UNEXPLAINED] == 4


def test_an_empty_stretch_is_the_programs() -> None:
    assert spent() == {Cause.PROGRAM: 10}
    whole: Course = course(Facts(), 5, 5)
    assert sum(whole.spent().values()) == 0
