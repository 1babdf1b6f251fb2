"""The frozen weights that a pass is compared with, by the name that its settings give them.

They are found, and held, before anything is computed: as long as a crash may have the operation
done again, its files stay, whatever becomes of the checkpoint or the sampler.
"""

from __future__ import annotations

from psycopg import Connection

from checkpoints import services as checkpoints
from checkpoints import store
from gpu_workers.engine.types import ForwardBackward, FrozenWeights, UserError
from gpu_workers.reading import bodies
from operations import restoring
from operations.claims import AdoptedRun, Claimed
from runs import ephemeral as samplers
from tinsmith.losses import LOSSES


def use(conn: Connection, run: AdoptedRun, operation: Claimed, work: ForwardBackward) -> None:
    """Give `work` the weights that its loss's setting names, in place of the setting.

    Raises:
        UserError: there are no such weights for the run's team, they are of another base model, or
            the logprobs under them were sent as well.
    """
    loss = LOSSES.get(work.loss_fn)
    if loss is None or loss.reference not in work.loss_config:
        return
    name = work.loss_config.pop(loss.reference)
    if not isinstance(name, str):
        raise UserError(
            f"loss_fn_config {loss.reference} is {name!r}: a checkpoint's tinker:// path or a "
            "sampler's id is allowed."
        )
    if any("logprobs" in datum.inputs for datum in work.data):
        raise UserError(
            f"give the reference logprobs, or {loss.reference} to have them computed, not both"
        )
    key = restoring.held(conn, operation_id=operation.id) or _hold(conn, run, operation, name)
    if key is not None:
        work.reference = FrozenWeights(key, store.path(key))


def reads_twice(work: ForwardBackward) -> bool:
    """Whether the tokens go through the model once more, for the reference."""
    loss = LOSSES.get(work.loss_fn)
    return bool(loss and loss.reference and work.data and "logprobs" not in work.data[0].inputs)


def _hold(conn: Connection, run: AdoptedRun, operation: Claimed, name: str) -> str | None:
    key = _find(conn, run, name)
    if key is not None:
        restoring.hold(conn, operation_id=operation.id, key=key)
        # whoever deleted it before that may have deleted its files, too
        if _find(conn, run, name) != key:
            raise UserError(f"{name} has just been deleted or replaced")
    return key


def _find(conn: Connection, run: AdoptedRun, name: str) -> str | None:
    """The store key of named weights; None: the base model's sampler."""
    key: str | None
    if name.startswith("tinker://"):
        found = checkpoints.find_for_worker(conn, team_ids=[run.team_id], path=name)
        if found is None:
            raise UserError(f"there is no checkpoint {name}")
        bodies.require_plain(found)
        base_model, key = found.base_model, found.key
    else:
        sampler = samplers.find_frozen(conn, team_id=run.team_id, sampler_id=name)
        if sampler is None:
            raise UserError(f"there is no sampler {name} whose weights stay as they are")
        base_model, key = sampler
    if base_model != run.base_model:
        raise UserError(f"{name} is of {base_model}, this run is on {run.base_model}")
    return key
