"""A recipe that is killed with -9 and started again, beside one that nobody disturbs."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.waiting import eventually
from tinsmith_recipes.training import Recipe
from tinsmith_recipes.training.folder import RunFolder

WITHIN_S = 300.0


def measured(folder: Path) -> tuple[list[dict[str, Any]], dict[str, Any], list[dict[str, Any]]]:
    """All that a run measured, times left out: rows, what was computed once, teachers' lessons."""
    files = RunFolder.of(folder)
    rows = [
        {name: value for name, value in row.items() if not name.startswith("time/")}
        for row in files.metrics
    ]
    return rows, files.memo, files.rows("lessons.jsonl")


def stages(folder: Path) -> set[str]:
    """The stages that a run has begun."""
    return {file.parent.name for file in folder.glob("*/config.json")}


def assert_a_killed_run_ends_as_it_would_have(
    recipe: type[Recipe], settings: dict[str, Any], after: str, folder: Path
) -> Path:
    """Kill a run once it has written the file `after`, go on, and compare it with another one.

    All numbers have to be the same to the last bit, and the time of both its starts has to count.
    Returns the folder of the undisturbed run.
    """
    killed, undisturbed = folder / "killed", folder / "undisturbed"
    words = [f"{name}={value}" for name, value in settings.items()]
    command = [sys.executable, "-m", recipe.__module__, *words, f"log_path={killed}"]
    process = subprocess.Popen(command)
    try:
        eventually(lambda: (killed / after).exists(), within_s=WITHIN_S)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (killed / "summary.json").exists()
    begun, worked = stages(killed), RunFolder.of(killed).state["seconds"]
    assert subprocess.run(command).returncode == 0
    first = asyncio.run(recipe(log_path=str(undisturbed), **settings).run())
    for stage in (".", *sorted(stages(undisturbed))):
        assert measured(killed / stage) == measured(undisturbed / stage)
    second = RunFolder.of(killed).summary
    assert second is not None
    assert (second.figures, second.tokens) == (first.figures, first.tokens)
    later = [RunFolder.of(killed / stage).summary for stage in stages(killed) - begun]
    assert second.seconds > worked + sum(one.seconds for one in later if one) > 0
    return undisturbed
