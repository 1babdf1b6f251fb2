"""`tinsmith recipes prove`: which runs it starts, what it tells, and when it ends with status 1."""

from __future__ import annotations

import json
from pathlib import Path
from typing import ClassVar

import chz
import pytest

from tinsmith_recipes.training import Estimate, Figure, Goal, Recipe, Run, Summary, exact, proving
from tinsmith_recipes.training.folder import RunFolder

RAN: list[tuple[int, str | None]] = []
VALUES = {0: 0.97, 1: 0.91, 2: 0.95}


@chz.chz
class Even(Recipe):
    """Ends with a figure that its seed decides; needs no server."""

    name: ClassVar[str] = "even"
    summary: ClassVar[str] = "Ends with a figure of its seed."
    goals: ClassVar[tuple[Goal, ...]] = (Goal("hits", least=0.9), Goal("misses", most=0.1))

    async def run(self) -> Summary:
        folder = RunFolder(str(self.log_path), self.name, {"seed": self.seed})
        if folder.summary is not None:
            return folder.summary
        RAN.append((self.seed, self.log_path))
        if self.seed > 2:
            raise ValueError("no data")
        hits = VALUES[self.seed]
        figures = {"hits": exact(hits), "misses": exact(1 - hits)}
        folder.finish(Summary(self.name, figures, 10.0 + self.seed, 5, 1000 * (self.seed + 1)))
        assert folder.summary is not None
        return folder.summary

    async def train(self, run: Run) -> dict[str, Figure]:
        raise NotImplementedError

    def estimate(self) -> Estimate:
        return Estimate(1, 1)


@pytest.fixture(autouse=True)
def only(monkeypatch: pytest.MonkeyPatch) -> None:
    RAN.clear()
    monkeypatch.setattr(proving, "find", lambda name: Even)
    monkeypatch.setattr(proving, "installed", lambda: ["even"])


def test_every_seed_is_run_and_held_to_the_goals(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert proving.prove([], 3, tmp_path) == 0
    assert [(seed, str(tmp_path / "even" / f"seed-{seed}")) for seed in range(3)] == RAN
    header, hits, misses = (line.split() for line in capsys.readouterr().out.splitlines())
    assert header == ["RECIPE", "GOAL", "BY", "SEED", "WORST", "REACHED", "SECONDS", "TOKENS"]
    assert hits[1:5] == ["hits", "at", "least", "0.9"]
    assert hits[5:] == ["0.970", "0.910", "0.950", "0.910", "yes", "12", "3,000"]
    assert misses[-4:] == ["0.090", "yes", "12", "3,000"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert [(one["seed"], one["missed"]) for one in report] == [(0, []), (1, []), (2, [])]
    assert report[1]["summary"]["figures"]["hits"]["value"] == 0.91


def test_what_has_finished_is_not_run_again(tmp_path: Path) -> None:
    proving.prove(["even"], 2, tmp_path)
    proving.prove(["even"], 3, tmp_path)
    assert [seed for seed, _ in RAN] == [0, 1, 2]


def test_one_seed_that_misses_a_goal_is_named_and_the_status_is_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(VALUES, 1, 0.85)
    assert proving.prove(["even"], 3, tmp_path, tmp_path / "elsewhere" / "r.json") == 1
    out, err = capsys.readouterr()
    assert "even seed 1 missed: hits at least 0.9, and it is 0.850" in err
    assert "NO" in out.splitlines()[1]
    assert len(json.loads((tmp_path / "elsewhere" / "r.json").read_text())) == 3


def test_a_run_that_fails_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert proving.prove(["even"], 4, tmp_path, as_json=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert report[3]["missed"] == [report[3]["failure"]] == ["ValueError: no data"]
    assert report[2]["missed"] == []


def test_a_figure_that_is_missing_reaches_no_goal() -> None:
    proof = proving.Proof("even", 0, Even.goals, Summary("even", {}, 1.0, 1, 1))
    assert proof.missed == [f"{goal}, and it is {proving.NONE}" for goal in Even.goals]
    assert f"{proving.NONE}  NO" in proving.table([proof])
