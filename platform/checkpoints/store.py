"""Where weights lie: folders under the data directory, named by keys.

A key is a relative path made by this module from ids and validated names; it never comes from a
user as it is.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from django.conf import settings


def root() -> Path:
    """The store's folder."""
    return Path(settings.DATA_DIR) / "store"


def path(key: str) -> Path:
    """The folder that a key names, inside the store.

    Raises:
        ValueError: the key leads out of the store.
    """
    result = (root() / key).resolve()
    if not result.is_relative_to(root().resolve()):
        raise ValueError(f"the key {key!r} leads out of the store")
    return result


def checkpoint_key(run_id: str, segment: str, name: str, seq: int) -> str:
    """Where the checkpoint that operation `seq` writes lies; an overwriting one has its own."""
    return f"checkpoints/{_folder(run_id)}/{segment}/{name}@{seq}"


def sampler_key(sampler_id: str, run_id: str, seq: int) -> str:
    """Where the ephemeral sampler that operation `seq` of a run publishes lies."""
    return f"samplers/{_folder(sampler_id)}@{run_id.rpartition(':')[2]}-{seq}"


def inflight_key(run_id: str, seq: int) -> str:
    """Where the weights lie that the save `seq` gave to a run's inflight samplers."""
    return f"samplers/{_folder(run_id)}/{seq}"


def snapshot_key(run_id: str, seq: int, attempt: str) -> str:
    """Where a run's recovery copy lies; `attempt` keeps two workers from writing the same."""
    return f"snapshots/{_folder(run_id)}/{seq}-{attempt}"


def session_keys(session_id: str) -> list[str]:
    """The folders that hold a session's ephemeral samplers and recovery copies."""
    return [f"samplers/{session_id}", f"snapshots/{session_id}"]


def saved_keys(session_id: str) -> list[str]:
    """The keys under which a session's operations have saved checkpoints, named ones or not."""
    folder = path(f"checkpoints/{session_id}")
    return [str(found.relative_to(root().resolve())) for found in folder.glob("train/*/*/*@*")]


def delete(key: str) -> None:
    """Delete what a key names; nothing there is fine.

    Raises:
        OSError: the disk will not have it; some or all of it is still there.
    """
    folder = path(key)
    while True:
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            # somebody deletes the same, or there was nothing
            if folder.exists():
                continue
        return


def copied_key(run_id: str, segment: str, name: str) -> str:
    """Where a copied checkpoint lies, in a run that has no operations."""
    return checkpoint_key(run_id, segment, name, 0)


def copy(source: str, target: str) -> None:
    """Copy the files under one key to another, which they have all at once or not at all.

    Raises:
        OSError: there are no such files, or the disk will not have them.
    """
    destination = path(target)
    destination.parent.mkdir(parents=True, exist_ok=True)
    draft = destination.parent / f".{destination.name}.{uuid.uuid4().hex}"
    try:
        shutil.copytree(path(source), draft)
        os.replace(draft, destination)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _folder(wire_id: str) -> str:
    return wire_id.replace(":", "/")
