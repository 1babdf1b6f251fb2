"""File work: turns between teams, publications before saves, order within a run, bounded memory."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.files import FileThreads
from gpu_workers.engine.lora import peft_io
from gpu_workers.engine.types import AdapterSpec, CreateRun, PublishSampler, SaveState
from tests.gpu_workers.engine.harness import WAIT_S, Client, running
from tests.support.waiting import eventually

MIB = 1 << 20


class Desk:
    """Real file threads whose work is done only once `gate` is open; `log` tells in which order."""

    def __init__(self, max_bytes: int = 64 * MIB) -> None:
        self.threads = FileThreads(max_bytes)
        self.gate = threading.Event()
        self.log: list[str] = []
        self._begun = threading.Semaphore(0)

    def block(self) -> None:
        """Occupy both threads, so that what is asked for next waits for its turn."""
        for urgent in (True, False):
            self.ask(f"block-{urgent}", "nobody", f"block-{urgent}", urgent=urgent)
            assert self._begun.acquire(timeout=WAIT_S)

    def ask(self, name: str, team: str, run: str, *, urgent: bool, nbytes: int = MIB) -> None:
        def work() -> None:
            self._begun.release()
            assert self.gate.wait(WAIT_S)
            self.log.append(name)

        self.threads.submit(work, run=run, team=team, urgent=urgent, nbytes=nbytes)

    def finish(self) -> list[str]:
        """Let all be done; the names of what was, without what blocked."""
        self.gate.set()
        self.threads.close()
        return [name for name in self.log if not name.startswith("block")]


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk()
    desk.block()
    yield desk
    desk.finish()


def test_saves_of_two_teams_take_turns(desk: Desk) -> None:
    for number in range(5):
        desk.ask(f"a{number}", "a", f"a-{number}", urgent=False)
    for number in range(2):
        desk.ask(f"b{number}", "b", f"b-{number}", urgent=False)
    assert desk.finish() == ["a0", "b0", "a1", "b1", "a2", "a3", "a4"]


def test_turns_are_counted_in_bytes(desk: Desk) -> None:
    for number in range(2):
        desk.ask(f"a{number}", "a", "a", urgent=False, nbytes=4 * MIB)
    for number in range(5):
        desk.ask(f"b{number}", "b", "b", urgent=False)
    assert desk.finish() == ["a0", "b0", "b1", "b2", "b3", "a1", "b4"]


def test_publications_of_two_teams_take_turns(desk: Desk) -> None:
    for number in range(3):
        desk.ask(f"a{number}", "a", f"a-{number}", urgent=True)
    desk.ask("b", "b", "b", urgent=True)
    assert desk.finish() == ["a0", "b", "a1", "a2"]


def test_a_publication_waits_for_no_save_of_another_run() -> None:
    """Not even for one that is being written: it is done while that one hangs."""
    desk = Desk()
    for number in range(300):
        desk.ask(f"save{number}", "a", f"a-{number % 7}", urgent=False)
    published = threading.Event()
    desk.threads.submit(published.set, run="b", team="b", urgent=True)
    assert published.wait(WAIT_S)
    assert desk.log == []
    assert len(desk.finish()) == 300


def test_a_runs_work_is_done_in_order_whatever_hurries(desk: Desk) -> None:
    """Its saves hurry with the publication behind them, and other teams keep their turns."""
    for number in range(3):
        desk.ask(f"save{number}", "a", "a", urgent=False)
    desk.ask("publish", "a", "a", urgent=True)
    desk.ask("after", "a", "a", urgent=False)
    desk.ask("other", "b", "b", urgent=True)
    assert desk.finish() == ["save0", "other", "save1", "save2", "publish", "after"]


def test_one_run_is_never_at_two_files_at_once() -> None:
    """A save under way keeps the publication behind it waiting, though the other thread is idle."""
    desk = Desk()
    desk.ask("save", "a", "a", urgent=False)
    assert desk._begun.acquire(timeout=WAIT_S)
    desk.ask("publish", "a", "a", urgent=True)
    done = threading.Event()
    desk.threads.submit(done.set, run="b", team="a", urgent=True)
    assert done.wait(WAIT_S)
    assert desk.log == []
    assert desk.finish() == ["save", "publish"]


def test_a_failure_is_handed_on_and_costs_nobody_else_anything(desk: Desk) -> None:
    found: list[Any] = []

    def fail() -> None:
        raise OSError("full")

    def stumble(result: Any) -> None:
        found.append(result)
        raise RuntimeError("the callback fails, too")

    desk.threads.submit(fail, stumble, run="a", team="a", urgent=False)
    desk.ask("next", "a", "a", urgent=False)
    assert desk.finish() == ["next"]
    assert [str(result) for result in found] == ["full"]


def test_memory_that_waits_for_files_is_bounded_by_team() -> None:
    desk = Desk(max_bytes=8 * MIB)
    desk.block()
    desk.ask("huge", "a", "a", urgent=False, nbytes=100 * MIB)  # the first always may
    assert not desk.threads.has_room("a")
    assert desk.threads.has_room("b")
    woken = threading.Event()
    desk.threads.when_room(woken.set)
    assert not woken.is_set()
    assert desk.finish() == ["huge"]
    assert woken.is_set()
    assert desk.threads.has_room("a")


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until it is set, folders of saves are not written; publications are."""
    gate = threading.Event()
    real: Callable[..., int] = peft_io.save

    def save(directory: Path, *args: Any, **options: Any) -> int:
        assert not options["optimizer"] or gate.wait(WAIT_S)
        return real(directory, *args, **options)

    monkeypatch.setattr(peft_io, "save", save)
    yield gate
    gate.set()


@pytest.fixture
def tight(base: BaseModel, tmp_path: Path, gate: threading.Event) -> Iterator[Client]:
    """An engine where a few copies of rows fill what may wait for files."""
    with running(base, tmp_path, waiting_file_bytes=2 * MIB) as client:
        yield client
        gate.set()


def test_a_flood_of_saves_holds_up_its_own_run_and_nobody_else(
    tight: Client, tmp_path: Path, gate: threading.Event
) -> None:
    """Another team publishes meanwhile, and what the saves hold stays bounded; all are written."""
    engine = tight.engine
    for run, team in (("flood", "a"), ("other", "b")):
        tight.do(run, CreateRun(AdapterSpec(8, 1)), team)
    saves: list[Future[Any]] = [
        tight.submit("flood", SaveState(tmp_path / f"save{number}"), "a") for number in range(60)
    ]
    tight.submit("other", PublishSampler("v", tmp_path / "v"), "b").result(WAIT_S)
    held = engine._files._held["a"]
    row = engine._runs["flood"].row
    assert row is not None
    copy = 3 * row.master.nbytes
    assert 0 < held < 2 * MIB // 4 + copy < 60 * copy
    assert not any(save.done() for save in saves)
    gate.set()
    sizes = {save.result(WAIT_S).size_bytes for save in saves}
    assert len(sizes) == 1
    assert all((tmp_path / f"save{number}").is_dir() for number in range(60))
    engine.drop_run("flood")


def test_a_flooding_run_can_be_dropped(
    tight: Client, tmp_path: Path, gate: threading.Event
) -> None:
    """What waits for room is answered at once, and the run can be made again."""
    tight.do("flood", CreateRun(AdapterSpec(8, 1)))
    saves = [tight.submit("flood", SaveState(tmp_path / f"save{n}")) for n in range(60)]
    tight.engine.drop_run("flood")
    assert saves[-1].exception(WAIT_S) is not None
    tight.do("flood", CreateRun(AdapterSpec(8, 2)))
    gate.set()
    tight.do("flood", SaveState(tmp_path / "again"))


@pytest.mark.parametrize("fails", [False, True])
def test_what_was_written_is_freed_without_a_collection(fails: bool) -> None:
    class State:
        """What a save holds."""

    def submit(threads: FileThreads) -> weakref.ref[State]:
        state = State()

        def work() -> int:
            held = state
            if fails:
                raise OSError(f"no room for {held}")
            return 0

        threads.submit(work, run="r", team="t", urgent=False, nbytes=MIB)
        return weakref.ref(state)

    threads = FileThreads(64 * MIB)
    gc.collect()
    gc.disable()
    try:
        state = submit(threads)
        room = threading.Event()
        threads.when_room(room.set)
        assert room.wait(WAIT_S)
        eventually(lambda: state() is None)
    finally:
        gc.enable()
        threads.close()
