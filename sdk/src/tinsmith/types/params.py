"""Settings a caller chooses: LoRA, optimizer, sampling."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Literal

import msgspec

from tinsmith._words.mistakes import Struct, number, whole

LossFnType = Literal[
    "cross_entropy",
    "importance_sampling",
    "ppo",
    "cispo",
    "dro",
    "gspo",
    "stable_reinforce",
    "dpo",
    "bradley_terry",
    "custom",
]

SamplingClientKind = Literal["snapshot", "inflight"]
"""``snapshot`` freezes the weights; ``inflight`` follows later saves of the same kind."""

StopReason = Literal["stop", "length"]


class LoraConfig(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """Size and place of the adapter. Alpha is always 32.

    Attributes:
        rank: rank of the matrices, 1 up to the base model's limit.
        seed: seed of their first values; None draws one.
        train_attn, train_mlp, train_unembed: which linears get an adapter.
    """

    rank: int
    seed: int | None = None
    train_unembed: bool = True
    train_mlp: bool = True
    train_attn: bool = True

    def __post_init__(self) -> None:
        _put(self, rank=whole("rank", self.rank))
        if self.seed is not None:
            _put(self, seed=whole("seed", self.seed))


class AdamOptimizerConfig(Struct, frozen=True, kw_only=True):
    """AdamW, the optimizer a run has from its creation."""

    type: Literal["adamw"] = "adamw"


class DimuonOptimizerConfig(Struct, frozen=True, kw_only=True):
    """Dimuon; Tinsmith refuses it, the hosted service has it."""

    type: Literal["dimuon"] = "dimuon"
    version: Literal[1] = 1


class AdamParams(Struct, frozen=True, kw_only=True):
    """One AdamW step, as ``torch.optim.AdamW`` defines it.

    Attributes:
        learning_rate: step size.
        beta1, beta2: decay of the moments.
        eps: added to the denominator.
        weight_decay: decoupled decay; 0 is none.
        grad_clip_norm: global norm the gradient is scaled down to; 0 is no limit.
    """

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0

    def __post_init__(self) -> None:
        _put_numbers(self, "learning_rate", "beta1", "beta2", "eps", "weight_decay")
        _put_numbers(self, "grad_clip_norm")


class DimuonParams(Struct, frozen=True, kw_only=True):
    """One Dimuon step; Tinsmith refuses it, the hosted service has it."""

    learning_rate: float
    grad_clip_norm: float = 0.0
    beta1: float = 0.9
    type: Literal["dimuon"] = "dimuon"


OptimizerConfig = AdamOptimizerConfig | DimuonOptimizerConfig
OptimParams = AdamParams | DimuonParams


class SamplingParams(Struct, frozen=True, kw_only=True):
    """How to draw tokens.

    Attributes:
        max_tokens: most tokens to draw; None goes to the end of the context.
        temperature: below 0.00001 the likeliest token every time, with the model's own
            logprobs; else logprobs are those of the distribution that was drawn from.
        top_k: draw from the k likeliest tokens only; -1 is no limit.
        top_p: draw from the smallest set of tokens with this much probability; 1 is no limit.
        seed: makes the draw repeatable; sample i of a request draws with its own.
        stop: a text, texts or token ids that end a sample. None stops at the model's end tokens,
            ``[]`` never stops. A stop token is part of the returned sample.
    """

    max_tokens: int | None = None
    seed: int | None = None
    stop: str | Sequence[str] | Sequence[int] | None = None
    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0

    def __post_init__(self) -> None:
        _put_numbers(self, "temperature", "top_p")
        for name in ("max_tokens", "seed", "top_k"):
            value = getattr(self, name)
            if value is not None and type(value) is not int:
                _put(self, **{name: whole(name, value)})
        if isinstance(self.stop, int):
            raise TypeError(
                f"stop must be a text, a list of texts or a list of token ids; one id goes as "
                f"[{self.stop}]"
            )


def _put(params: msgspec.Struct, **values: object) -> None:
    for name, value in values.items():
        msgspec.structs.force_setattr(params, name, value)


def _put_numbers(params: msgspec.Struct, *names: str) -> None:
    """Numbers of other libraries as plain ones; raises what `number` does."""
    for name in names:
        value = getattr(params, name)
        if type(value) is not int and not (type(value) is float and isfinite(value)):
            _put(params, **{name: number(name, value)})
