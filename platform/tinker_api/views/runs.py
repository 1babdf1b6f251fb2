"""Training runs as listings."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from runs import listings
from runs.listings import RunListing
from tinker_api import queries
from tinker_api.endpoint import Call, reply
from tinker_api.views.checkpoints import show_checkpoint, show_cursor


async def list_runs(call: Call) -> HttpResponse:
    """A page of training runs, newest first."""
    limit, offset = queries.page(call)
    found, total = await listings.list_runs(
        actor=call.actor,
        limit=limit,
        offset=offset,
        accessible=queries.accessible(call),
        project_id=queries.project(call),
    )
    shown = [_show(run) for run in found]
    return reply({"training_runs": shown, "cursor": show_cursor(limit, offset, total)})


async def show_run(call: Call, run_id: str) -> HttpResponse:
    """One training run with its newest checkpoints."""
    run = await listings.find_run(
        actor=call.actor, run_id=run_id, accessible=queries.accessible(call)
    )
    return reply(_show(run))


def _show(run: RunListing) -> dict[str, Any]:
    last, last_sampler = run.last_training, run.last_sampler
    return {
        "training_run_id": run.id,
        "base_model": run.base_model,
        "model_owner": run.owner,
        "is_lora": True,
        "lora_rank": run.rank,
        "corrupted": run.corrupted,
        "last_request_time": run.last_request_at,
        "last_checkpoint": show_checkpoint(last) if last else None,
        "last_sampler_checkpoint": show_checkpoint(last_sampler) if last_sampler else None,
        "user_metadata": run.user_metadata or None,
    }
