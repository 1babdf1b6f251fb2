"""What engines did when: rows that add up, times of operations, and nobody who waits for them."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.db.models.functions import Now
from hypothesis import given
from hypothesis import strategies as st

from core import database
from gpu_workers.engine.turns import Piece, Watch
from gpu_workers.log import turns as turn_log
from gpu_workers.log.turns import GAP_S, LONGEST_ROW_S, ROW_S, TurnLog, merged
from operations import turns
from operations.models import Delay, Operation, Turn
from runs.models import Sampler
from tests.gpu_workers.bench import Bench, batch, body, create, results, step
from tests.support.waiting import eventually

LENGTHS = st.floats(0.0001, 0.5)
WEIGHTS = st.dictionaries(
    st.tuples(st.sampled_from(["1", "2"]), st.sampled_from("abc")),
    st.integers(1, 1000),
    min_size=1,
)


@given(st.lists(st.tuples(LENGTHS, st.floats(0, 0.1), WEIGHTS, st.booleans()), max_size=30))
def test_rows_keep_all_seconds_and_tokens(made: list[tuple]) -> None:
    pieces, now = [], 100.0
    for length, gap, weights, in_tokens in made:
        now += gap
        pieces.append(Piece(now, now + length, weights, in_tokens))
        now += length
    rows = merged(pieces)
    spent = sum(piece.ended - piece.began for piece in pieces)
    assert sum(sum(row.seconds.values()) for row in rows) == pytest.approx(spent)
    assert sum(row.pieces for row in rows) == len(pieces)
    counted = sum(sum(piece.weights.values()) for piece in pieces if piece.in_tokens)
    assert sum(sum(row.tokens.values()) for row in rows) == counted
    for row in rows:
        assert row.pieces == 1 or row.ended - row.began <= LONGEST_ROW_S + 1e-9
        assert sum(row.seconds.values()) <= row.ended - row.began + 1e-9
    for one, other in itertools.pairwise(rows):
        assert other.began >= one.ended - 1e-9


@given(st.integers(2, 400), st.floats(0.001, 0.02))
def test_a_busy_engine_makes_at_most_so_many_rows(count: int, length: float) -> None:
    """Whoever takes turns in it: ten a second, and one a second as long as it serves the same."""
    some = [
        Piece(at * length, (at + 1) * length, {("1", "ab"[at % 2]): 7}, True) for at in range(count)
    ]
    assert len(merged(some)) <= count * length / (ROW_S - length) + 1
    same = [Piece(piece.began, piece.ended, {("1", "a"): 7}, True) for piece in some]
    assert len(merged(same)) <= count * length / (LONGEST_ROW_S - length) + 1
    apart = [Piece(at * (length + 2 * GAP_S), at * (length + 2 * GAP_S) + length, {("1", "a"): 7})
             for at in range(count)]  # fmt: skip
    assert len(merged(apart)) == count


def test_operations_and_turns_tell_when_the_engine_worked(bench: Bench) -> None:
    log = bench.log
    worker = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    for seq in range(1, 9, 2):
        step(log, run, seq)
    log.submit(
        run, 9, "save_weights_for_sampler", body(run, 9, sampling_session_seq_id=5, path=None)
    )
    bench.finish(run)
    sampler = json.loads(results(run)[9])["sampling_session_id"]
    request = {
        "sampling_session_id": sampler,
        "seq_id": 0,
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [1, 2, 3]}]},
        "sampling_params": {"max_tokens": 4, "stop": []},
    }
    operation = log.submit(Sampler.objects.get(), 0, "sample", json.dumps(request).encode())
    bench.wait(lambda: Operation.objects.get(pk=operation.pk).state == "done", "the sample")
    for found in Operation.objects.order_by("id"):
        moments = [
            *(found.created_at, found.started_at, found.began_at, found.ended_at),
            found.finished_at,
        ]
        assert None not in moments, found
        assert moments == sorted(moments)
    worker.stop()
    tokens: dict[str, int] = {}
    for turn in Turn.objects.all():
        assert (turn.pool, turn.worker_id) == (log.pool, worker.id)
        assert turn.base_model == "tinsmith/nano-qwen3"
        assert turn.began_at <= turn.ended_at
        (shares,) = turn.shares.values()
        assert list(turn.shares) == [str(run.team_id)]
        for target, (count, seconds) in shares.items():
            tokens[target] = tokens.get(target, 0) + count
            assert 0 <= seconds <= (turn.ended_at - turn.began_at).total_seconds() + 1e-3
    # four batches of 5 and 17 tokens; a prompt of 3, and one of each answer's 4 comes with it
    assert tokens == {run.id: 4 * 22, sampler: 3 + 2 * 3}
    assert worker.turns.dropped == 0


def test_a_full_queue_drops_and_counts() -> None:
    log = TurnLog(uuid.uuid4(), "default")
    note = log.of("m")
    for _ in range(turn_log.MOST_WAITING + 3):
        note(Piece(0.0, 1.0, {("1", "a"): 1}))
    assert log.dropped == 3


def test_what_cannot_be_written_is_lost_and_harms_no_outcome(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise psycopg.OperationalError("away")

    monkeypatch.setattr(turns, "write", refuse)
    worker = bench.start()
    run = bench.log.run(bench.log.team("a"))
    create(bench.log, run)
    step(bench.log, run, 1)
    bench.finish(run)
    assert set(Operation.objects.values_list("state", flat=True)) == {"done"}
    eventually(lambda: worker.turns.dropped > 0)
    assert not Turn.objects.exists()


def test_a_watcher_that_fails_is_not_asked_again() -> None:
    calls = []

    def watcher(what: object) -> None:
        calls.append(what)
        raise RuntimeError

    watch = Watch()
    watch.watcher = watcher
    for _ in range(2):
        watch.served(time.monotonic(), {("1", "a"): 1}, in_tokens=True)
    assert len(calls) == 1


def test_a_run_that_is_brought_back_was_delayed(bench: Bench) -> None:
    log = bench.log
    first = bench.start()
    run = log.run(log.team("a"))
    create(log, run)
    step(log, run, 1)
    bench.finish(run)
    bench.crash(first)
    second = bench.start()
    second.pulse.beat(log.conn)
    log.submit(run, 3, "forward_backward", batch(run, 3, seed=3))
    bench.finish(run)
    second.stop()
    delay = Delay.objects.get()
    assert (delay.target, delay.cause) == (run.id, "restoring")
    assert delay.began_at < delay.ended_at


def test_turns_are_kept_for_days_and_only_so_many(transactional_db: None, tmp_path: Path) -> None:
    def row(ago: float) -> turns.TurnRow:
        now = time.monotonic()
        return turns.TurnRow("m", now - ago - 1, now - ago, 3, {"1": {"r": (5, 0.5)}})

    with database.connect() as conn:
        delays = [turns.DelayRow("r", "swapping", 2.0, 1.0)]
        for _ in range(6):
            turns.write(conn, pool="p", worker_id=uuid.uuid4(), turns=[row(0.0)], delays=delays)
        turn = Turn.objects.first()
        assert turn is not None
        assert (turn.pieces, turn.shares) == (3, {"1": {"r": [5, 0.5]}})
        assert (turn.ended_at - turn.began_at).total_seconds() == pytest.approx(1, abs=1e-3)
        Turn.objects.filter(pk=turn.pk).update(ended_at=Now() - timedelta(days=8))
        assert turns.forget_old(conn) == 1
        assert turns.forget_old(conn, most_turns=2, most_delays=3, batch=2) == 3 + 3
        assert (Turn.objects.count(), Delay.objects.count()) == (2, 3)
