"""``RunFolder``: the files of a run. They are the truth that a killed run goes on from.

``config.json`` its settings, ``metrics.jsonl`` a row a step, ``checkpoints.jsonl`` a row a
checkpoint, ``memo.json`` what was computed once, ``state.json`` how long it has worked,
``summary.json`` how it ended, ``transcripts/*.html`` what was sampled.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from tinsmith_recipes.training.figures import Figure

log = logging.getLogger("tinsmith_recipes")

# Which of a run's settings may differ when it goes on: they decide no number
_FREE = {"log_path", "save_every", "keep_days", "keep_last", "wandb_project"}


@dataclass(frozen=True)
class Checkpoint:
    """A state that was saved.

    Attributes:
        name: its name on the server.
        step: the optimizer steps that are in it; training goes on with step number ``step``.
        state_path, sampler_path: its ``tinker://`` addresses.
        is_final: whether the run had ended.
        extra: what else the loop has to know to go on.
    """

    name: str
    step: int
    state_path: str
    sampler_path: str | None = None
    is_final: bool = False
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
        recipe: its name.
        figures: by name, with intervals.
        seconds: the time that all its starts worked, stages included; pauses between them and what
            a killed one did after its last row are not counted.
        steps, tokens: optimizer steps, and tokens trained or sampled.
        state_path, sampler_path: the last checkpoint's addresses.
        stopped: why it ended early; None where it did not.
    """

    recipe: str
    figures: dict[str, Figure]
    seconds: float
    steps: int
    tokens: int
    state_path: str | None = None
    sampler_path: str | None = None
    stopped: str | None = None


class RunFolder:
    """The folder of one run, made where there is none.

    Raises:
        ValueError: it holds a run with other settings; names them.
    """

    def __init__(self, path: str | Path, recipe: str, config: Mapping[str, Any]) -> None:
        self.path = Path(path).expanduser()
        self.path.mkdir(parents=True, exist_ok=True)
        self._unwritten: dict[str, list[dict[str, Any]]] = {}
        given = json.loads(json.dumps({"recipe": recipe, **config}))
        kept = self._read("config.json")
        if kept is None:
            self._write("config.json", given)
        else:
            self._check_same(kept, given)

    @classmethod
    def of(cls, path: str | Path) -> RunFolder:
        """The folder of a run that is there.

        Raises:
            ValueError: there is none.
        """
        try:
            config = json.loads((Path(path).expanduser() / "config.json").read_text())
        except FileNotFoundError:
            raise ValueError(f"{path} holds no run") from None
        return cls(path, config.pop("recipe"), config)

    def _check_same(self, kept: dict[str, Any], given: dict[str, Any]) -> None:
        names = sorted((kept.keys() | given.keys()) - _FREE)
        differing = [
            f"{name}={given.get(name)!r} where it was {kept.get(name)!r}"
            for name in names
            if kept.get(name) != given.get(name)
        ]
        if differing:
            raise ValueError(
                f"{self.path} holds a run with other settings: {', '.join(differing)}; "
                "give another log_path, or delete the folder"
            )

    # ---- what is there

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """All rows of ``metrics.jsonl``, oldest first."""
        return self.rows("metrics.jsonl")

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """All rows of ``checkpoints.jsonl``, oldest first."""
        return [Checkpoint(**row) for row in self.rows("checkpoints.jsonl")]

    @property
    def memo(self) -> dict[str, Any]:
        """What was computed once, by name."""
        return self._read("memo.json") or {}

    @property
    def state(self) -> dict[str, Any]:
        """What else a start leaves to the next one, by name; it decides no number."""
        return self._read("state.json") or {}

    @property
    def summary(self) -> Summary | None:
        """How the run ended; None if it has not."""
        row = self._read("summary.json")
        if row is None:
            return None
        figures = {name: Figure(**figure) for name, figure in row.pop("figures").items()}
        return Summary(**row, figures=figures)

    # ---- writing

    def add_metrics(self, step: int, metrics: Mapping[str, float]) -> None:
        """Add a row."""
        self.append("metrics.jsonl", {"step": step, **metrics})

    def add_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Add a row; from now on the run goes on from there."""
        self.append("checkpoints.jsonl", dataclasses.asdict(checkpoint))

    def leave(self, **values: Any) -> None:
        """Add to the state, or replace in it; a full disk costs no run."""
        with suppress(OSError):
            self._write("state.json", {**self.state, **values})

    def finish(self, summary: Summary) -> None:
        """Write ``summary.json``: the run is done."""
        self._write("summary.json", dataclasses.asdict(summary))

    def forget_after(self, step: int) -> None:
        """Drop the metrics from a step on: they come again."""
        kept = [row for row in self.metrics if row["step"] < step]
        text = "".join(json.dumps(row) + "\n" for row in kept)
        self._replace("metrics.jsonl", text)

    async def once(self, name: str, compute: Callable[[], Awaitable[Any]]) -> Any:
        """What ``compute`` gives, as JSON keeps it; computed in the first start only."""
        memo = self.memo
        if name not in memo:
            memo[name] = json.loads(json.dumps(await compute()))
            self._write("memo.json", {**self.memo, name: memo[name]})
        return memo[name]

    # ---- files

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.path / name).read_text())
        except FileNotFoundError:
            return None
        return found

    def rows(self, name: str) -> list[dict[str, Any]]:
        """All rows of a file of the folder, oldest first; none if there is no such file."""
        try:
            lines = (self.path / name).read_text().split("\n")
        except FileNotFoundError:
            return []
        # the last piece is empty, or a row that a killed process had begun
        return [json.loads(line) for line in lines[:-1]]

    def _write(self, name: str, content: Mapping[str, Any]) -> None:
        self._replace(name, json.dumps(content, indent=2) + "\n")

    def _replace(self, name: str, text: str) -> None:
        """All or nothing, whenever the process dies."""
        draft = self.path / f".{name}.draft"
        draft.write_text(text)
        os.replace(draft, self.path / name)

    def append(self, name: str, row: dict[str, Any]) -> None:
        """Add a row. What a full disk refuses is kept, and written with the next one."""
        rows = [*self._unwritten.pop(name, []), row]
        text = "".join(json.dumps(one) + "\n" for one in rows).encode()
        path = self.path / name
        try:
            with path.open("r+b" if path.exists() else "w+b") as file:
                end = _end_of_rows(file)
                file.truncate(end)
                file.seek(end)
                try:
                    file.write(text)
                    file.flush()
                except OSError:
                    file.truncate(end)
                    raise
        except OSError as error:
            self._unwritten[name] = rows
            log.warning("%s cannot be written (%s); training goes on", path, error)


def _end_of_rows(file: BinaryIO) -> int:
    """Where the last whole row ends."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 65536)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0
