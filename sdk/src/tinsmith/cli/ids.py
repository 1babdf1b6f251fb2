"""Finds what somebody means who writes the beginning of an id, or ``latest``."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from tinsmith import errors
from tinsmith.types.results import ParsedCheckpointTinkerPath

if TYPE_CHECKING:
    from tinsmith.cli.command import Command

LATEST = "latest"
MOST = 10_000  # ids to look through; whoever has more writes the whole id
SHOWN = 5  # of those that fit
_SESSION = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_RUN = re.compile(_SESSION.pattern + r":train:\d+")
_SCHEME = "tinker://"
_BEGUN = re.compile(r"tinker://.*|[0-9a-f]{8}[0-9a-f-]*(:.*)?")

Page = Callable[[int, int], list[str]]
"""``(limit, offset)`` to ids, newest first."""


def run(command: Command, given: str) -> str:
    """The training run that is meant."""
    if _RUN.fullmatch(given):
        return given

    def page(limit: int, offset: int) -> list[str]:
        found = command.rest.list_training_runs(limit, offset).result().training_runs
        return [item.training_run_id for item in found]

    return _find(given, page, 100, "training run", "runs list")


def session(command: Command, given: str) -> str:
    """The session that is meant."""
    if _SESSION.fullmatch(given):
        return given

    def page(limit: int, offset: int) -> list[str]:
        return command.rest.list_sessions(limit, offset).result().sessions

    return _find(given, page, 100, "session", "sessions list")


def means_checkpoint(given: str) -> bool:
    """Whether what names a model is a checkpoint, or the beginning of one, and no base model."""
    return given == LATEST or _BEGUN.fullmatch(given) is not None


def checkpoint(
    command: Command, given: str, *, sampler_only: bool = False, whole: bool = False
) -> str:
    """The path of the checkpoint that is meant.

    Args:
        sampler_only: only those to sample from.
        whole: what has all parts of a path is one, though its name may be another's beginning.
    """
    if _is_path(given):
        return given if whole else _in_run(command, given)

    def page(limit: int, offset: int) -> list[str]:
        found = command.rest.list_user_checkpoints(limit, offset).result().checkpoints
        return [
            item.tinker_path if not sampler_only or item.checkpoint_type == "sampler" else ""
            for item in found
        ]

    begun = given if given == LATEST or given.startswith(_SCHEME) else f"{_SCHEME}{given}"
    return _find(begun, page, 1000, "checkpoint", "checkpoints list")


def _is_path(given: str) -> bool:
    """Whether it has all parts of a path, the run's id whole."""
    try:
        parsed = ParsedCheckpointTinkerPath.from_tinker_path(given)
    except ValueError:
        return False
    return not parsed.checkpoint_id.endswith("/")


def _in_run(command: Command, given: str) -> str:
    """A path whose name may be a beginning; what the team does not have stays as it is."""
    parsed = ParsedCheckpointTinkerPath.from_tinker_path(given)
    try:
        saved = command.rest.list_checkpoints(parsed.training_run_id).result().checkpoints
    except errors.NotFoundError:
        return given
    fitting = [item.tinker_path for item in saved if item.tinker_path.startswith(given)]
    return fitting[0] if len(fitting) == 1 and given not in fitting else given


def _find(given: str, page: Page, size: int, what: str, listing: str) -> str:
    """The only id that begins so, or the newest for ``latest``.

    Raises:
        ValueError: none or several begin so.
    """
    fitting: list[str] = []
    for item in _all(page, size):
        if item == given or (given == LATEST and item):
            return item
        if given != LATEST and given and item.startswith(given):
            fitting.append(item)
    if len(fitting) == 1:
        return fitting[0]
    shown = given.removeprefix(_SCHEME)
    if not fitting:
        begins = "is there yet" if given == LATEST else f"begins with {shown!r}"
        raise ValueError(f"no {what} {begins}; `tinsmith {listing}` shows them")
    more = f" and {len(fitting) - SHOWN} more" if len(fitting) > SHOWN else ""
    raise ValueError(
        f"{len(fitting)} {what}s begin with {shown!r}: {', '.join(fitting[:SHOWN])}{more}; "
        "write more of the one you mean"
    )


def _all(page: Page, size: int) -> Iterator[str]:
    """Every id, page by page, up to `MOST`."""
    for offset in range(0, MOST, size):
        found = page(size, offset)
        yield from found
        if len(found) < size:
            return
