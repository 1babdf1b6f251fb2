"""Training runs as listings."""

from __future__ import annotations

from typing import Annotated

from core.json_bodies import Answer, told
from core.openapi import says
from runs import listings
from runs.listings import RunListing
from tinker_api import queries
from tinker_api.endpoint import Call
from tinker_api.shapes import Cursor, Moment
from tinker_api.views.checkpoints import Checkpoint, show_checkpoint, show_cursor


class TrainingRun(Answer):
    """A training run."""

    training_run_id: Annotated[str, told("The run's id.")]
    base_model: str
    model_owner: str
    is_lora: bool
    lora_rank: int
    corrupted: bool
    last_request_time: Moment
    last_checkpoint: Annotated[Checkpoint | None, told("The newest with the optimizer's state.")]
    last_sampler_checkpoint: Annotated[Checkpoint | None, told("The newest for sampling.")]
    user_metadata: dict[str, str] | None


class TrainingRuns(Answer):
    """A page of training runs, newest first."""

    training_runs: Annotated[list[TrainingRun], told("The runs.")]
    cursor: Cursor


@says(given=(*queries.PAGE, queries.SCOPE, queries.PROJECT))
async def list_runs(call: Call) -> TrainingRuns:
    """A page of training runs, newest first."""
    limit, offset = queries.page(call)
    found, total = await listings.list_runs(
        actor=call.actor,
        limit=limit,
        offset=offset,
        accessible=queries.accessible(call),
        project_id=queries.project(call),
    )
    return TrainingRuns(
        training_runs=[_show(run) for run in found], cursor=show_cursor(limit, offset, total)
    )


@says(given=(queries.SCOPE,))
async def show_run(call: Call, run_id: str) -> TrainingRun:
    """One training run with its newest checkpoints."""
    run = await listings.find_run(
        actor=call.actor, run_id=run_id, accessible=queries.accessible(call)
    )
    return _show(run)


def _show(run: RunListing) -> TrainingRun:
    last, last_sampler = run.last_training, run.last_sampler
    return TrainingRun(
        training_run_id=run.id,
        base_model=run.base_model,
        model_owner=run.owner,
        is_lora=True,
        lora_rank=run.rank,
        corrupted=run.corrupted,
        last_request_time=run.last_request_at,
        last_checkpoint=show_checkpoint(last) if last else None,
        last_sampler_checkpoint=show_checkpoint(last_sampler) if last_sampler else None,
        user_metadata=run.user_metadata or None,
    )
