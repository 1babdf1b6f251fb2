"""Samplers and the samples asked of them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

from core.errors import BadRequest
from core.json_bodies import Answer, Id, Number, Request, Text, told
from core.openapi import says
from operations import bodies, completions, pressure
from operations import services as operations
from runs import samplers
from tinker_api import words
from tinker_api.endpoint import Call

# More samples than this are no request the worker would take, so no ids are made up for them
MAX_NAMED_SEQUENCES = 65_536


class CreateSamplingSession(Request):
    """`create_sampling_session`."""

    session_id: Id
    sampling_session_seq_id: Annotated[
        Number, told("The sampler's number in its session; sent again, it gives the same sampler.")
    ]
    model_path: Text | None = None
    base_model: Annotated[
        Text | None, told("The base model's name; needed when there is no `model_path`.")
    ] = None


class SamplingSessionId(Request):
    """`join_sampling_session`."""

    sampling_session_id: Id


class SampleFuture(Answer):
    """The future of a sample."""

    request_id: str
    sample_sequence_ids: Annotated[
        list[str], told("Name each sequence, so that training data can say what it is from.")
    ]


class SamplerCreated(Answer):
    """A new sampler."""

    type: Literal["create_sampling_session"]
    sampling_session_id: str


class Sampler(Answer):
    """What a sampler samples from."""

    sampler_id: Annotated[str, told("The sampler's id.")]
    base_model: str
    model_path: str | UnsetType = UNSET


class Joined(Answer):
    """A client's own number on a shared sampler."""

    client_counter: Annotated[int, told("The number, from 1.")]


@says(takes=CreateSamplingSession, also={410: ((), words.ENDED)})
async def create_sampling_session(call: Call) -> SamplerCreated:
    """Make a sampler of a base model or of saved weights."""
    wanted = call.json(CreateSamplingSession)
    if wanted.model_path is None and wanted.base_model is None:
        raise BadRequest("model_path or base_model is needed, both are missing")
    sampler_id = await samplers.create_sampler(
        actor=call.actor,
        session_id=wanted.session_id,
        number=wanted.sampling_session_seq_id,
        model_path=wanted.model_path,
        base_model=wanted.base_model,
    )
    return SamplerCreated(type="create_sampling_session", sampling_session_id=sampler_id)


async def sampler(call: Call, sampler_id: str) -> Sampler:
    """What a sampler samples from."""
    info = await samplers.sampler_info(actor=call.actor, sampler_id=sampler_id)
    return Sampler(
        sampler_id=sampler_id,
        base_model=info.base_model,
        model_path=UNSET if info.model_path is None else info.model_path,
    )


@says(
    takes=bodies.SampleBody,
    more=words.FAST,
    also={413: ((), words.FULL), 429: ((), "Too many samples are open; try again soon.")},
)
async def asample(call: Call) -> SampleFuture:
    """Queue a sample; each sequence is named, so that training data can say where it came from."""
    # the rest goes into the log as bytes: there a NUL harms nobody
    ids = call.json(bodies.SampleIds, nul_allowed=True)
    await pressure.admit_sample(actor=call.actor, sampler_id=ids.sampling_session_id)
    submitted = await operations.submit_to_sampler(
        actor=call.actor, sampler_id=ids.sampling_session_id, seq=ids.seq_id, body=call.body
    )
    request_id = submitted.request_id
    names = [f"{request_id}:{index}" for index in range(_count(ids.num_samples))]
    return SampleFuture(request_id=request_id, sample_sequence_ids=names)


@says(takes=SamplingSessionId)
async def join_sampling_session(call: Call) -> Joined:
    """A number of its own for a client that shares a sampler with others."""
    wanted = call.json(SamplingSessionId)
    number = await completions.join(actor=call.actor, sampler_id=wanted.sampling_session_id)
    return Joined(client_counter=number)


def _count(num_samples: Any) -> int:
    """How many sequences to name; a number that the worker will refuse names none."""
    if num_samples is None:
        return 1
    if isinstance(num_samples, int) and 0 < num_samples <= MAX_NAMED_SEQUENCES:
        return num_samples
    return 0
