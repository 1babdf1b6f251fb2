"""What operations answer: the results of those that answer JSON.

Passes and samples answer protobuf (`tinsmith.wire`): a `ForwardBackwardOutput`, a `SampleResponse`,
which `read_sample` reads.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import UNSET, UnsetType

import tinsmith.wire as wire
from core.json_bodies import Answer, told

# what tables of the likeliest tokens hold where there were fewer
EMPTY_PLACE = (0, -99999.0)


class RunMade(Answer):
    """The result of `create_model`."""

    type: Literal["create_model"]
    model_id: str


class StepDone(Answer):
    """The result of `optim_step`."""

    type: Literal["optim_step"]
    metrics: Annotated[dict[str, float], told("`name:reduction` to number.")]


class WeightsLoaded(Answer):
    """The result of `load_weights`."""

    type: Literal["load_weights"]
    path: Annotated[str, told("What was loaded.")]
    model_id: str


class WeightsSaved(Answer):
    """The result of `save_weights`."""

    type: Literal["save_weights"]
    path: Annotated[str, told("The checkpoint's `tinker://` path.")]


class SamplerSaved(Answer):
    """The result of `save_weights_for_sampler`: a checkpoint's path, or a sampler's id."""

    type: Literal["save_weights_for_sampler"]
    path: Annotated[
        str | None,
        told("The checkpoint's `tinker://` path; null when an ephemeral sampler was asked for."),
    ]
    sampling_session_id: Annotated[str | UnsetType, told("The ephemeral sampler's id.")] = UNSET


class ExternalSaved(Answer):
    """The result of `save_weights_external`."""

    type: Literal["save_weights_external"]
    path: Annotated[str, told("The checkpoint's `tinker://` path.")]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Sequence:
    """One answer: its tokens, their logprobs, and the likeliest tokens beside each if asked for."""

    tokens: list[int]
    logprobs: list[float]
    stopped: bool
    top: list[list[tuple[int, float]]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Sampled:
    """All answers to one prompt."""

    sequences: list[Sequence]
    cached_tokens: int


def read_sample(body: bytes) -> Sampled:
    """A SampleResponse."""
    response = wire.SampleResponse.FromString(body)
    return Sampled(
        [_read_sequence(sequence) for sequence in response.sequences],
        response.prompt_cache_hit_tokens,
    )


def _read_sequence(sequence: wire.SampledSequence) -> Sequence:
    return Sequence(
        tokens=_numbers("i", sequence.tokens),
        logprobs=_numbers("f", sequence.logprobs),
        stopped=sequence.stop_reason == wire.STOP_REASON_STOP,
        top=_read_top(sequence.topk_sampled_logprobs),
    )


def _read_top(top: wire.TopkLogprobs) -> list[list[tuple[int, float]]]:
    """The candidates of each position, without the empty places that fill a row up."""
    pairs = list(zip(_numbers("i", top.token_ids), _numbers("f", top.logprobs), strict=True))
    rows = [pairs[at : at + top.k] for at in range(0, len(pairs), top.k or 1)]
    for row in rows:
        while row and row[-1] == EMPTY_PLACE:
            row.pop()
    return rows


def _numbers(form: str, data: bytes) -> list[Any]:
    return list(struct.unpack(f"<{len(data) // 4}{form}", data))
