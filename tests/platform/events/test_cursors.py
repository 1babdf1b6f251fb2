"""Cursors: what is in them, and that only what we have written is one."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from events.cursors import MAX_LENGTH, BadCursor, Cursor, Snapshot

patiently = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def histories(draw: st.DrawFn) -> tuple[Snapshot, Snapshot]:
    """Two snapshots of one server, the earlier first."""
    started = draw(st.integers(1, 20))
    over = draw(st.lists(st.integers(1, started), unique=True))
    more = draw(st.integers(0, 10))
    left = [xid for xid in range(1, started + more + 1) if xid not in over]
    later = draw(st.lists(st.sampled_from(left), unique=True)) if left else []
    return snapshot(started, set(over)), snapshot(started + more, {*over, *later})


def snapshot(started: int, over: set[int]) -> Snapshot:
    """As PostgreSQL has it when so many transactions have begun and these of them are over."""
    running = [xid for xid in range(1, started + 1) if xid not in over]
    xmin, xmax = min(running, default=started + 1), max(over, default=0) + 1
    return Snapshot(min(xmin, xmax), xmax, frozenset(xid for xid in running if xid < xmax))


@patiently
@given(histories())
def test_a_later_snapshot_sees_all_that_an_earlier_one_does(
    history: tuple[Snapshot, Snapshot],
) -> None:
    earlier, later = history
    assert earlier.is_within(later)
    seen = [xid for xid in range(1, 40) if earlier.sees(xid)]
    assert all(map(later.sees, seen))
    assert later.is_within(earlier) == (seen == [xid for xid in range(1, 40) if later.sees(xid)])


@patiently
@given(histories(), st.integers(1, 2**40), st.integers(0, 2**40))
def test_a_cursor_is_read_as_it_was_written(
    history: tuple[Snapshot, Snapshot], server: int, at: int
) -> None:
    for cursor in (Cursor(server, history[0]), Cursor(server, *history, at)):
        assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "1.5:4:",
        "1.4:5:5",
        "1.4:9:3",
        "1.0:9:",
        "1.4:9:8,",
        "1.4:9:x",
        "1.4:9:.4:8:.7",
        "1.4:9:.4:10:.9223372036854775808",
        "1.4:99999999999999999999:",
        "1.4:9223372036854775808:",
        "-1.4:9:",
        "1.4:9:" + "5," * MAX_LENGTH + "5",
        "1.4:9:\n",
    ],
)
def test_no_other_text_is_a_cursor(text: str) -> None:
    with pytest.raises(BadCursor):
        Cursor.parse(text)
