"""How things are named on the wire: sessions, runs, samplers, requests, checkpoints.

| thing | form |
|---|---|
| session | a random UUID |
| training run | `<session>:train:<n>` |
| sampler | `<session>:sample:<n>` |
| request | `<run or sampler>:<seq>` |
| checkpoint | `tinker://<run>/<segment>/<name>` |
"""

from __future__ import annotations

import re
import uuid
from typing import NamedTuple

# what sessions without a project count as
DEFAULT_PROJECT = "default"
MAX_PROJECT_LENGTH = 200
PROJECT_FORM = f"1 to {MAX_PROJECT_LENGTH} printable characters and no space at either end"

SEGMENTS = ("weights", "sampler_weights", "external_weights")
NAME_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
# PostgreSQL's texts hold no NUL character, so no such address leads anywhere
_PATH_PATTERN = re.compile(r"tinker://([^/\0]+)/([^/\0]+)/([^/\0]+)")


class CheckpointPath(NamedTuple):
    """The three parts of a `tinker://` address."""

    run_id: str
    segment: str
    name: str

    def __str__(self) -> str:
        return f"tinker://{self.run_id}/{self.segment}/{self.name}"


def new_session_id() -> str:
    """A fresh session id; unguessable."""
    return str(uuid.uuid4())


def run_id(session_id: str, number: int) -> str:
    """The id of a session's n-th training run, as public clients compute it themselves."""
    return f"{session_id}:train:{number}"


def sampler_id(session_id: str, number: int) -> str:
    """The id of a session's n-th sampler."""
    return f"{session_id}:sample:{number}"


def request_id(target: str, seq: int) -> str:
    """The id of the operation `seq` on a run or sampler: the same request has the same id."""
    return f"{target}:{seq}"


def split_request_id(value: str) -> tuple[str, int] | None:
    """(target, seq) of a request id, or None when it has another form."""
    target, colon, seq = value.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,19}", seq) or int(seq) >= 2**63:
        return None
    return target, int(seq)


def parse_checkpoint_path(path: str) -> CheckpointPath | None:
    """The parts of a `tinker://` address, or None when it is not one."""
    match = _PATH_PATTERN.fullmatch(path)
    if match is None or match[2] not in SEGMENTS:
        return None
    return CheckpointPath(match[1], match[2], match[3])


def is_project_id(value: str) -> bool:
    """Whether a project may be called so: `PROJECT_FORM`.

    What cannot be seen is refused, for two projects that look alike are one to whoever reads.
    """
    return 0 < len(value) <= MAX_PROJECT_LENGTH and value.isprintable() and value == value.strip()


def is_checkpoint_name(name: str) -> bool:
    """Whether a user may call a checkpoint so (letters, digits, `.`, `_`, `-`; at most 200)."""
    return NAME_PATTERN.fullmatch(name) is not None
