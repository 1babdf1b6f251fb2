"""What the server computes: outputs of a pass, samples, paths of checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import numpy as np

from tinsmith._words.mistakes import Struct, check_text, did_you_mean, explained
from tinsmith._words.shown import a_few
from tinsmith.types.params import AdamOptimizerConfig, StopReason
from tinsmith.types.tensor import TensorData

LossFnOutput = dict[str, TensorData]
NOTHING = -99999.0  # the logprob of an empty place in a top-k table


@explained
@dataclass(frozen=True, repr=False)
class ForwardBackwardOutput:
    """Result of ``forward`` and ``forward_backward``.

    Attributes:
        loss_fn_outputs: one dict a datum; ``logprobs`` (float32, the shape of the target tokens)
            holds the log-probability of every target.
        metrics: ``name:reduction`` to number; ``loss:sum`` is always there.
    """

    loss_fn_output_type: str
    loss_fn_outputs: list[LossFnOutput]
    metrics: dict[str, float] = field(default_factory=dict)

    @property
    def loss(self) -> float:
        """The loss summed over all tokens."""
        return self.metrics["loss:sum"]

    def __repr__(self) -> str:
        metrics = ", ".join(f"{name}={value:.6g}" for name, value in self.metrics.items())
        return f"ForwardBackwardOutput({len(self.loss_fn_outputs)} datums, {metrics})"


class OptimStepResponse(Struct, frozen=True, kw_only=True):
    """Result of ``optim_step``."""

    metrics: dict[str, float] | None = None


class SaveWeightsResponse(Struct, frozen=True, kw_only=True):
    """Result of ``save_state``: the checkpoint's ``tinker://`` path."""

    path: str
    type: str | None = None


class SaveWeightsForSamplerResponse(Struct, frozen=True, kw_only=True):
    """Result of ``save_weights_for_sampler``: the sampler checkpoint's ``tinker://`` path."""

    path: str
    type: str | None = None


class LoadWeightsResponse(Struct, frozen=True, kw_only=True):
    """Result of ``load_state``."""

    path: str | None = None
    model_id: str | None = None
    type: str | None = None


class ModelData(Struct, frozen=True, kw_only=True):
    """What a run's base model is."""

    arch: str | None = None
    model_name: str | None = None
    tokenizer_id: str | None = None


class OptimizerOfRun(Struct, frozen=True, kw_only=True):
    """The optimizer family a run was created with."""

    type: str = AdamOptimizerConfig().type


class GetInfoResponse(Struct, frozen=True, kw_only=True):
    """What a training run is."""

    model_id: str
    model_data: ModelData
    optimizer_config: OptimizerOfRun = OptimizerOfRun()
    is_lora: bool | None = None
    lora_rank: int | None = None
    model_name: str | None = None
    type: str | None = None


class SupportedModel(Struct, frozen=True, kw_only=True):
    """A base model on offer."""

    model_name: str | None = None
    max_context_length: int | None = None
    trainable: bool | None = None
    sampleable: bool | None = None
    hidden_size: int | None = None


class GetServerCapabilitiesResponse(Struct, frozen=True, kw_only=True):
    """What a server offers."""

    supported_models: list[SupportedModel]


class GetSamplerResponse(Struct, frozen=True, kw_only=True):
    """What a sampler is."""

    sampler_id: str
    base_model: str
    model_path: str | None = None


@explained
@dataclass(frozen=True, repr=False)
class TopkLogprobs:
    """The k likeliest tokens at every position: ``token_ids`` int32 and ``logprobs`` float32, both
    [positions, k], most likely first. An empty place is token 0 with logprob -99999."""

    token_ids: np.ndarray[Any, Any]
    logprobs: np.ndarray[Any, Any]

    def tolist(self) -> list[list[tuple[int, float]] | None]:
        """(token, logprob) pairs of every position; None where there are none."""
        rows: list[list[tuple[int, float]] | None] = []
        for tokens, logprobs in zip(self.token_ids.tolist(), self.logprobs.tolist(), strict=True):
            pairs = [
                (t, lp)
                for t, lp in zip(tokens, logprobs, strict=True)
                if not (t == 0 and lp == NOTHING)
            ]
            rows.append(pairs or None)
        return rows

    def __repr__(self) -> str:
        return f"TopkLogprobs({' x '.join(map(str, self.token_ids.shape))})"


@explained
@dataclass(frozen=True)
class PromptAltTokens:
    """Draws from the model at every prompt position after the first: ``tokens`` int64 and
    ``logprobs`` float32, both [prompt length - 1, k]."""

    tokens: TensorData
    logprobs: TensorData


@explained
@dataclass(frozen=True, eq=False, repr=False)
class SampledSequence:
    """One sample.

    Attributes:
        stop_reason: ``"stop"`` or ``"length"``.
        tokens_np: int32 [n]; ``tokens`` is the same as a list.
        logprobs_np: float32 [n], the log-probability each token was drawn with under the model;
            ``logprobs`` is the same as a list.
        sequence_id: names this very sample in later requests.
    """

    stop_reason: StopReason
    tokens_np: np.ndarray[Any, Any] = field(repr=False)
    logprobs_np: np.ndarray[Any, Any] | None = field(default=None, repr=False)
    topk_logprobs_np: TopkLogprobs | None = field(default=None, repr=False)
    sequence_id: str = ""

    @cached_property
    def tokens(self) -> list[int]:
        """The sampled token ids."""
        return list(self.tokens_np.tolist())

    @cached_property
    def logprobs(self) -> list[float] | None:
        """The log-probability of every sampled token."""
        return None if self.logprobs_np is None else list(self.logprobs_np.tolist())

    @cached_property
    def topk_logprobs(self) -> list[list[tuple[int, float]] | None] | None:
        """The likeliest tokens at every sampled position, if they were asked for."""
        return None if self.topk_logprobs_np is None else self.topk_logprobs_np.tolist()

    def __repr__(self) -> str:
        count = len(self.tokens_np)
        logprobs = ""
        if self.logprobs_np is not None and count:
            logprobs = f", logprobs {a_few(self.logprobs_np)}"
        return (
            f"SampledSequence({count} token{'' if count == 1 else 's'} {a_few(self.tokens_np)}, "
            f"{self.stop_reason}{logprobs})"
        )


@explained
@dataclass(frozen=True, eq=False, repr=False)
class SampleResponse:
    """Result of ``sample``: ``num_samples`` sequences, and what was asked about the prompt.

    Attributes:
        prompt_logprobs_np: float32 [prompt length], NaN where there is none (the first token at
            least); ``prompt_logprobs`` is the same as a list with None.
    """

    sequences: Sequence[SampledSequence]
    prompt_logprobs_np: np.ndarray[Any, Any] | None = field(default=None, repr=False)
    topk_prompt_logprobs_np: TopkLogprobs | None = field(default=None, repr=False)
    target_prompt_logprobs: TensorData | None = None
    prompt_cache_hit_tokens: int = 0
    prompt_alt_tokens: PromptAltTokens | None = None

    @cached_property
    def prompt_logprobs(self) -> list[float | None] | None:
        """The log-probability of every prompt token, None for the first."""
        if self.prompt_logprobs_np is None:
            return None
        return [None if value != value else value for value in self.prompt_logprobs_np.tolist()]

    @cached_property
    def topk_prompt_logprobs(self) -> list[list[tuple[int, float]] | None] | None:
        """The likeliest tokens at every prompt position, if they were asked for."""
        if self.topk_prompt_logprobs_np is None:
            return None
        return self.topk_prompt_logprobs_np.tolist()

    def __repr__(self) -> str:
        few = [repr(sequence) for sequence in self.sequences[:2]]
        more = len(self.sequences) - len(few)
        if more:
            few.append(f"… {more} more")
        asked = (
            ("prompt_logprobs", self.prompt_logprobs_np),
            ("topk_prompt_logprobs", self.topk_prompt_logprobs_np),
            ("target_prompt_logprobs", self.target_prompt_logprobs),
            ("prompt_alt_tokens", self.prompt_alt_tokens),
        )
        also = "".join(f", {name}" for name, value in asked if value is not None)
        return f"SampleResponse([{', '.join(few)}]{also})"


CheckpointType = Literal["training", "sampler", "external"]

_TYPE_OF_SEGMENT: dict[str, CheckpointType] = {
    "weights": "training",
    "sampler_weights": "sampler",
    "external_weights": "external",
}


@explained
class ParsedCheckpointTinkerPath(Struct, frozen=True, kw_only=True):
    """The parts of ``tinker://<run>/<weights|sampler_weights|external_weights>/<name>``."""

    tinker_path: str
    training_run_id: str
    checkpoint_type: CheckpointType
    checkpoint_id: str

    @classmethod
    def from_tinker_path(cls, tinker_path: str) -> ParsedCheckpointTinkerPath:
        """Take a path apart; raises ValueError that says what a path looks like."""
        check_text("a checkpoint's path", tinker_path)
        scheme, _, rest = tinker_path.partition("://")
        parts = rest.split("/")
        if scheme != "tinker" or len(parts) != 3 or parts[1] not in _TYPE_OF_SEGMENT:
            near = did_you_mean(parts[1], _TYPE_OF_SEGMENT) if len(parts) == 3 else ""
            raise ValueError(
                f"{tinker_path!r} is no checkpoint; one looks like tinker://<run>/<kind>/<name>, "
                f"where the kind is one of {', '.join(_TYPE_OF_SEGMENT)}{near}"
            )
        return cls(
            tinker_path=tinker_path,
            training_run_id=parts[0],
            checkpoint_type=_TYPE_OF_SEGMENT[parts[1]],
            checkpoint_id=f"{parts[1]}/{parts[2]}",
        )


def check_path(path: object) -> None:
    """Raise TypeError or ValueError for what is no checkpoint's path."""
    ParsedCheckpointTinkerPath.from_tinker_path(path)  # type: ignore[arg-type]
