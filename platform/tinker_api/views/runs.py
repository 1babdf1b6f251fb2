"""The REST side: training runs and checkpoints as listings."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from checkpoints import services as checkpoints
from checkpoints.services import CheckpointInfo
from core.errors import BadRequest
from runs import services as runs
from runs.services import RunListing
from tinker_api import schemas
from tinker_api.endpoint import Call, reply

MAX_PAGE = 1000
DEFAULT_PAGE = 20
CHECKPOINT_TYPES = {
    "weights": "training",
    "sampler_weights": "sampler",
    "external_weights": "external",
}


async def list_runs(call: Call) -> HttpResponse:
    """A page of the team's training runs, newest first."""
    limit, offset = _page(call)
    found, total = await runs.list_runs(caller=call.caller, limit=limit, offset=offset)
    return reply(
        {"training_runs": [_run(run) for run in found], "cursor": _cursor(limit, offset, total)}
    )


async def show_run(call: Call, run_id: str) -> HttpResponse:
    """One training run with its newest checkpoints."""
    run = await runs.find_run(caller=call.caller, run_id=run_id)
    saved, _ = await checkpoints.list_checkpoints(caller=call.caller, run_id=run_id)
    newest = {item.segment: item for item in reversed(saved)}
    shown = _run(run)
    if (training := newest.get("weights")) is not None:
        shown["last_checkpoint"] = _checkpoint(training)
    if (sampler := newest.get("sampler_weights")) is not None:
        shown["last_sampler_checkpoint"] = _checkpoint(sampler)
    return reply(shown)


async def list_run_checkpoints(call: Call, run_id: str) -> HttpResponse:
    """All checkpoints of one run, newest first."""
    await runs.find_run(caller=call.caller, run_id=run_id)
    found, _ = await checkpoints.list_checkpoints(caller=call.caller, run_id=run_id)
    return reply({"checkpoints": [_checkpoint(item) for item in found]})


async def list_checkpoints(call: Call) -> HttpResponse:
    """A page of the team's checkpoints, newest first."""
    limit, offset = _page(call)
    found, total = await checkpoints.list_checkpoints(
        caller=call.caller, limit=limit, offset=offset
    )
    return reply(
        {
            "checkpoints": [_checkpoint(item) for item in found],
            "cursor": _cursor(limit, offset, total),
        }
    )


async def weights_info(call: Call) -> HttpResponse:
    """What a checkpoint holds, as far as a client needs it to make a run from it."""
    wanted = call.json(schemas.TinkerPath)
    found = await checkpoints.find_readable(caller=call.caller, path=wanted.tinker_path)
    return reply(
        {
            "base_model": found.base_model,
            "is_lora": True,
            "lora_rank": found.rank,
            "train_unembed": found.train_unembed,
            "train_mlp": found.train_mlp,
            "train_attn": found.train_attn,
            "optimizer_config": {"type": "adamw"},
        }
    )


def _page(call: Call) -> tuple[int, int]:
    """(limit, offset) of the query."""
    return (
        _number(call, "limit", DEFAULT_PAGE, 1, MAX_PAGE),
        _number(call, "offset", 0, 0, 2**63 - 1),
    )


def _number(call: Call, name: str, default: int, low: int, high: int) -> int:
    text = call.request.GET.get(name)
    if text is None:
        return default
    value = int(text) if text.isascii() and text.isdigit() and len(text) < 20 else -1
    if not low <= value <= high:
        raise BadRequest(f"{name} must be a number from {low} to {high}, not {text!r}")
    return value


def _cursor(limit: int, offset: int, total: int) -> dict[str, int]:
    return {"offset": offset, "limit": limit, "total_count": total}


def _run(run: RunListing) -> dict[str, Any]:
    return {
        "training_run_id": run.id,
        "base_model": run.base_model,
        "model_owner": run.owner,
        "is_lora": True,
        "lora_rank": run.rank,
        "corrupted": False,
        "last_request_time": run.last_request_at,
        "last_checkpoint": None,
        "last_sampler_checkpoint": None,
        "user_metadata": run.user_metadata or None,
    }


def _checkpoint(item: CheckpointInfo) -> dict[str, Any]:
    return {
        "checkpoint_id": f"{item.segment}/{item.name}",
        "checkpoint_type": CHECKPOINT_TYPES[item.segment],
        "time": item.created_at,
        "tinker_path": item.path,
        "size_bytes": item.size_bytes,
        "public": item.public,
        "user_metadata": item.user_metadata or None,
        "expires_at": item.expires_at,
    }
