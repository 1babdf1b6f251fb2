"""The files of a run: torn, refused by a full disk, of another run, finished."""

from __future__ import annotations

import json
import logging
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tinsmith_recipes.pig_latin.train import PigLatin
from tinsmith_recipes.training.clock import Clock
from tinsmith_recipes.training.figures import share
from tinsmith_recipes.training.folder import Checkpoint, RunFolder, Summary

CONFIG = {"seed": 1, "rate": 0.5, "save_every": 3}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder(tmp_path / "run", "greetings", CONFIG)


def again(folder: RunFolder, **changed: Any) -> RunFolder:
    """The folder as another process finds it."""
    return RunFolder(folder.path, "greetings", {**CONFIG, **changed})


@contextmanager
def full_disk(room: int) -> Iterator[None]:
    """No file grows beyond ``room`` bytes, as on a disk that has no more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_row_that_was_being_written_is_left_out_and_overwritten(folder: RunFolder) -> None:
    for step in range(3):
        folder.add_metrics(step, {"loss": step / 2})
    file = folder.path / "metrics.jsonl"
    whole = file.read_text()
    for cut in range(len(whole)):  # killed after any byte
        file.write_text(whole[:cut])
        rows = again(folder).metrics
        assert rows == [{"step": n, "loss": n / 2} for n in range(whole[:cut].count("\n"))]
    file.write_text(whole[:-4])
    again(folder).add_metrics(2, {"loss": 9.0})
    assert [row["loss"] for row in again(folder).metrics] == [0.0, 0.5, 9.0]


def test_rows_of_steps_that_come_again_are_dropped(folder: RunFolder) -> None:
    for step in range(5):
        folder.add_metrics(step, {"loss": 1.0})
    folder.forget_after(2)
    assert [row["step"] for row in folder.metrics] == [0, 1]


def test_what_a_full_disk_refuses_is_written_later(
    folder: RunFolder, caplog: pytest.LogCaptureFixture
) -> None:
    folder.add_metrics(0, {"loss": 1.0})
    size = (folder.path / "metrics.jsonl").stat().st_size
    with full_disk(size + 5), caplog.at_level(logging.WARNING):
        folder.add_metrics(1, {"loss": 2.0})
        folder.add_metrics(2, {"loss": 3.0})
    assert "training goes on" in caplog.text
    assert [row["step"] for row in again(folder).metrics] == [0]
    folder.add_metrics(3, {"loss": 4.0})
    assert [row["loss"] for row in again(folder).metrics] == [1.0, 2.0, 3.0, 4.0]


def test_a_full_disk_tears_no_file_that_is_written_whole(folder: RunFolder) -> None:
    kept = (folder.path / "config.json").read_bytes()
    with full_disk(3), pytest.raises(OSError, match="File too large"):
        folder.finish(Summary("greetings", {}, 1.0, 2, 3))
    assert again(folder).summary is None
    assert (folder.path / "config.json").read_bytes() == kept


def test_other_settings_are_refused_by_name_and_nothing_changes(folder: RunFolder) -> None:
    folder.add_metrics(0, {"loss": 1.0})
    files = {path.name: path.read_bytes() for path in folder.path.iterdir()}
    with pytest.raises(ValueError, match=r"other settings: rate=0\.7 where it was 0\.5; give"):
        again(folder, rate=0.7)
    with pytest.raises(ValueError, match="recipe='other' where it was 'greetings'"):
        RunFolder(folder.path, "other", CONFIG)
    assert {path.name: path.read_bytes() for path in folder.path.iterdir()} == files


def test_settings_that_decide_no_number_may_differ(folder: RunFolder) -> None:
    assert again(folder, save_every=7, keep_days=2, keep_last=1, wandb_project="a").metrics == []


def test_a_checkpoint_and_a_summary_come_back_as_they_were(folder: RunFolder) -> None:
    checkpoint = Checkpoint("step-3", 3, "tinker://a", extra={"tokens": 7})
    summary = Summary("greetings", {"hits": share([True, False])}, 1.5, 3, 7, "tinker://a")
    folder.add_checkpoint(checkpoint)
    folder.finish(summary)
    assert again(folder).checkpoints == [checkpoint]
    assert again(folder).summary == summary
    assert RunFolder.of(folder.path).summary == summary


def test_a_folder_without_a_run_is_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no run"):
        RunFolder.of(tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_what_was_computed_once_is_not_computed_again(folder: RunFolder) -> None:
    computed = []

    async def compute() -> list[float]:
        computed.append(1)
        return [0.1, 2.0]

    assert await folder.once("a", compute) == [0.1, 2.0]
    assert await again(folder).once("a", compute) == [0.1, 2.0]
    await folder.once("b", compute)
    assert len(computed) == 2
    assert set(json.loads((folder.path / "memo.json").read_text())) == {"a", "b"}


async def test_a_finished_run_gives_its_summary_without_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TINSMITH_BASE_URL", "TINSMITH_API_KEY", "TINKER_BASE_URL", "TINKER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    import chz

    recipe = PigLatin(log_path=str(tmp_path / "run"))
    config = {name: value for name, value in chz.asdict(recipe).items() if name != "log_path"}
    summary = Summary("pig_latin", {"exact_match": share([True] * 9)}, 3.0, 100, 5)
    RunFolder(tmp_path / "run", "pig_latin", config).finish(summary)
    assert await recipe.run() == summary
    with pytest.raises(ValueError, match="seed=3 where it was 0"):
        await PigLatin(log_path=str(tmp_path / "run"), seed=3).run()


def test_the_time_of_every_start_counts_and_a_stages_for_the_whole(folder: RunFolder) -> None:
    folder.leave(seconds=100.0, wandb="a")
    inner = RunFolder(folder.path / "stage", "greetings", CONFIG)
    stage = Clock(inner, Clock(folder))
    assert stage.seconds < 100
    stage.keep()
    left = again(folder).state
    assert left["seconds"] > 100
    assert left["wandb"] == "a"
    assert 0 < RunFolder.of(inner.path).state["seconds"] < 100
    assert Clock(again(folder)).seconds > left["seconds"]


def test_a_full_disk_stops_no_clock(folder: RunFolder) -> None:
    clock = Clock(folder)
    clock.keep()
    kept = folder.state
    with full_disk(3):
        clock.keep()
    assert again(folder).state == kept
