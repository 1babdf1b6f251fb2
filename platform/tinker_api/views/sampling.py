"""Samplers and the samples asked of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse

from core.errors import BadRequest
from operations import bodies, completions, pressure
from operations import services as operations
from runs import services as runs
from tinker_api import schemas
from tinker_api.endpoint import Call, reply

# More samples than this are no request the worker would take, so no ids are made up for them
MAX_NAMED_SEQUENCES = 65_536


async def create_sampling_session(call: Call) -> HttpResponse:
    """Make a sampler of a base model or of saved weights."""
    wanted = call.json(schemas.CreateSamplingSession)
    if wanted.model_path is None and wanted.base_model is None:
        raise BadRequest("model_path or base_model is needed, both are missing")
    sampler_id = await runs.create_sampler(
        actor=call.actor,
        session_id=wanted.session_id,
        number=wanted.sampling_session_seq_id,
        model_path=wanted.model_path,
        base_model=wanted.base_model,
    )
    return reply({"type": "create_sampling_session", "sampling_session_id": sampler_id})


async def sampler(call: Call, sampler_id: str) -> HttpResponse:
    """What a sampler samples from."""
    info = await runs.sampler_info(actor=call.actor, sampler_id=sampler_id)
    found = {"sampler_id": sampler_id, "base_model": info.base_model}
    if info.model_path is not None:
        found["model_path"] = info.model_path
    return reply(found)


async def asample(call: Call) -> HttpResponse:
    """Queue a sample; each sequence is named, so that training data can say where it came from."""
    # the rest goes into the log as bytes: there a NUL harms nobody
    ids = call.json(bodies.SampleIds, nul_allowed=True)
    await pressure.admit_sample(actor=call.actor)
    submitted = await operations.submit_to_sampler(
        actor=call.actor, sampler_id=ids.sampling_session_id, seq=ids.seq_id, body=call.body
    )
    request_id = submitted.request_id
    names = [f"{request_id}:{index}" for index in range(_count(ids.num_samples))]
    return reply({"request_id": request_id, "sample_sequence_ids": names})


async def join_sampling_session(call: Call) -> HttpResponse:
    """A number of its own for a client that shares a sampler with others."""
    wanted = call.json(schemas.SamplingSessionId)
    number = await completions.join(actor=call.actor, sampler_id=wanted.sampling_session_id)
    return reply({"client_counter": number})


def _count(num_samples: Any) -> int:
    """How many sequences to name; a number that the worker will refuse names none."""
    if num_samples is None:
        return 1
    if isinstance(num_samples, int) and 0 < num_samples <= MAX_NAMED_SEQUENCES:
        return num_samples
    return 0
