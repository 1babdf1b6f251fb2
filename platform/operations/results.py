"""What operations answer: the results of those that answer JSON.

Passes and samples answer protobuf (`tinsmith.wire`): a `ForwardBackwardOutput`, a `SampleResponse`.
"""

from __future__ import annotations

from typing import Literal

from msgspec import UNSET, UnsetType

from core.json_bodies import Answer


class RunMade(Answer):
    """The result of `create_model`."""

    type: Literal["create_model"]
    model_id: str


class StepDone(Answer):
    """The result of `optim_step`."""

    type: Literal["optim_step"]
    metrics: dict[str, float]


class WeightsLoaded(Answer):
    """The result of `load_weights`."""

    type: Literal["load_weights"]
    path: str
    model_id: str


class WeightsSaved(Answer):
    """The result of `save_weights`."""

    type: Literal["save_weights"]
    path: str


class SamplerSaved(Answer):
    """The result of `save_weights_for_sampler`: a checkpoint's path, or a sampler's id."""

    type: Literal["save_weights_for_sampler"]
    path: str | None
    sampling_session_id: str | UnsetType = UNSET


class ExternalSaved(Answer):
    """The result of `save_weights_external`."""

    type: Literal["save_weights_external"]
    path: str
    size_bytes: int
