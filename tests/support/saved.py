"""Checkpoints as workers enter them, with files in the store, and how workers sweep it."""

from __future__ import annotations

from typing import Any

from checkpoints import expiry, leftovers, store, undo
from checkpoints.models import Checkpoint
from core import database
from runs.models import TrainingRun

CONFIG = b'{"r": 8}'
# longer than one piece of a stream and no whole number of tar blocks
WEIGHTS = bytes(range(251)) * 9000


async def save_checkpoint(
    run: str, segment: str = "weights", name: str = "s1", seq: int = 1, **fields: Any
) -> Checkpoint:
    """A checkpoint of a run. DATA_DIR must be the test's own."""
    owner = await TrainingRun.objects.aget(id=run)
    key = store.checkpoint_key(run, segment, name, seq)
    folder = store.path(key)
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_bytes(CONFIG)
    (folder / "adapter_model.safetensors").write_bytes(WEIGHTS)
    if segment == "weights":
        (folder / "optimizer.safetensors").write_bytes(b"moments")
    return await Checkpoint.objects.acreate(
        run=owner,
        team_id=owner.team_id,
        segment=segment,
        name=name,
        key=key,
        **{"size_bytes": len(CONFIG) + len(WEIGHTS)} | fields,
    )


def files_of(checkpoint: Checkpoint) -> list[str]:
    """The names of a checkpoint's files, none when its folder is gone."""
    folder = store.path(checkpoint.key)
    return sorted(file.name for file in folder.iterdir()) if folder.exists() else []


def address(checkpoint: Checkpoint) -> str:
    """A checkpoint's REST address."""
    return f"training_runs/{checkpoint.run_id}/checkpoints/{checkpoint.segment}/{checkpoint.name}"


def sweep() -> list[str]:
    """What a worker does from time to time."""
    with database.connect() as conn:
        expiry.expire(conn)
        undo.end_due(conn)
        return leftovers.delete_due(conn)
