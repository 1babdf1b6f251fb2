"""What a request may ask for: every mistake a user can make, found before the work is queued.

Numpy only, cheap, safe to call from any thread. Messages name the bad thing and what is allowed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from gpu_workers.engine.base import ModelInfo
from gpu_workers.engine.sampler.validate import validate as validate_sample
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    Datum,
    ForwardBackward,
    OptimStep,
    Sample,
    UserError,
    Work,
)
from tinsmith.losses import LOSSES, Loss

SMALLEST_EPS = 1e-30
"""Smaller ones are zero in float32, and 0/0 is what Adam makes of a weight without gradient."""


def validate(work: Work, info: ModelInfo, max_rank: int) -> None:
    """Raise UserError if `work` cannot be done. Saves and loads are checked when they are done."""
    if isinstance(work, ForwardBackward):
        _forward_backward(work, info)
    elif isinstance(work, OptimStep):
        _optim_step(work)
    elif isinstance(work, CreateRun):
        _adapter(work.spec, max_rank)
    elif isinstance(work, Sample):
        validate_sample(work, info)


def _adapter(spec: AdapterSpec, max_rank: int) -> None:
    if not _is_int(spec.rank) or not 1 <= spec.rank <= max_rank:
        raise UserError(f"The LoRA rank is {spec.rank!r}: allowed are 1 to {max_rank}.")
    if not _is_int(spec.seed):
        raise UserError(f"The seed is {spec.seed!r}: an integer is allowed.")
    if not (spec.train_attn or spec.train_mlp or spec.train_unembed):
        raise UserError("Nothing to train: set one of train_attn, train_mlp, train_unembed.")


def _optim_step(work: OptimStep) -> None:
    for name in ("learning_rate", "weight_decay", "grad_clip_norm"):
        _number(name, getattr(work, name), 0.0, math.inf, "a number from 0 on")
    for name in ("beta1", "beta2"):
        value = getattr(work, name)
        _number(name, value, 0.0, math.nextafter(1.0, 0.0), "a number from 0 to below 1")
    _number("eps", work.eps, SMALLEST_EPS, math.inf, f"a number from {SMALLEST_EPS} on")


def _number(name: str, value: object, low: float, high: float, allowed: str) -> None:
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float | np.number)
        or not math.isfinite(value)
        or not low <= value <= high
    ):
        raise UserError(f"{name} is {value!r}: {allowed} is allowed.")


def _forward_backward(work: ForwardBackward, info: ModelInfo) -> None:
    spec = LOSSES.get(work.loss_fn)
    if spec is None:
        raise UserError(f"Unknown loss function {work.loss_fn!r}: allowed are {_names(LOSSES)}.")
    _loss_config(work.loss_config, spec)
    if not work.data:
        raise UserError("There is no data: give at least one datum.")
    mistake = spec.incomplete(len(work.data))
    if mistake is not None:
        raise UserError(mistake)
    for number, datum in enumerate(work.data):
        try:
            _datum(datum, spec, info)
        except UserError as error:
            raise UserError(f"Datum {number}: {error}") from None
    mistake = spec.mixed([datum.inputs for datum in work.data])
    if mistake is not None:
        raise UserError(mistake)


def _loss_config(config: dict[str, float | str], spec: Loss) -> None:
    for key, value in config.items():
        if key not in spec.settings:
            raise UserError(
                f"Unknown loss_fn_config key {key!r} for {spec.name}: "
                f"allowed are {_names(filter(None, [*spec.settings, spec.reference]))}."
            )
        setting = spec.settings[key]
        _number(f"loss_fn_config {key}", value, setting.low, setting.high, setting.allowed)
    merged = loss_config(spec, config)
    if merged.get("clip_low_threshold", 0.0) > merged.get("clip_high_threshold", 0.0):
        raise UserError(
            f"clip_low_threshold {merged['clip_low_threshold']} is above clip_high_threshold "
            f"{merged['clip_high_threshold']}: it must not be."
        )


def loss_config(spec: Loss, config: dict[str, float | str]) -> dict[str, float]:
    """The loss's settings: the request's over the defaults."""
    return spec.defaults | {key: float(value) for key, value in config.items()}


def _datum(datum: Datum, spec: Loss, info: ModelInfo) -> None:
    tokens = datum.tokens
    if tokens.ndim != 1 or tokens.dtype.kind not in "iu" or not len(tokens):
        raise UserError("the tokens must be a flat, non-empty list of integers.")
    length = len(tokens)
    if length > info.max_context_length:
        raise UserError(
            f"the sequence has {length} tokens: at most {info.max_context_length} are allowed."
        )
    _in_vocabulary("token", tokens, info)
    for name in spec.required:
        if name not in datum.inputs:
            raise UserError(
                f"missing loss input {name!r}: {spec.name} needs {_names(spec.required)}."
            )
    for name in datum.inputs:
        if name not in spec.inputs:
            raise UserError(
                f"unknown loss input {name!r} for {spec.name}: allowed are {_names(spec.inputs)}."
            )
    targets = datum.inputs["target_tokens"]
    _targets(targets, length, spec, info)
    for name, array in datum.inputs.items():
        if name != "target_tokens":
            _floats(name, array, targets.shape)
    if spec.weighed and not datum.inputs["weights"].any():
        raise UserError(f"weights are all 0: {spec.name} needs a token that counts in every datum.")


MOST_TARGETS = 128
"""Targets a token may have, K of [N, K]: plenty for distillation. One datum widens its chunk."""


def _targets(targets: np.ndarray, length: int, spec: Loss, info: ModelInfo) -> None:
    shapes = f"[{length}] or [{length}, K]" if spec.wide_targets else f"[{length}]"
    fits = targets.ndim == 1 or (spec.wide_targets and targets.ndim == 2 and targets.shape[1] > 0)
    if not fits or targets.shape[0] != length:
        raise UserError(f"target_tokens has shape {list(targets.shape)}: {shapes} is allowed.")
    most = min(MOST_TARGETS, info.vocab_size)
    if targets.ndim == 2 and targets.shape[1] > most:
        raise UserError(
            f"target_tokens has shape {list(targets.shape)}: at most {most} targets a token are "
            f"allowed, [{length}, {most}]."
        )
    if targets.dtype.kind not in "iu":
        raise UserError(f"target_tokens has dtype {targets.dtype}: int64 is allowed.")
    _in_vocabulary("target token", targets, info)


def _floats(name: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise UserError(
            f"{name} has shape {list(array.shape)}: it must have that of target_tokens, "
            f"{list(shape)}."
        )
    if array.dtype.kind not in "fiu":
        raise UserError(f"{name} has dtype {array.dtype}: float32 is allowed.")
    finite = np.abs(array) <= np.finfo(np.float32).max  # NaN is not
    if not finite.all():
        where = np.argwhere(~finite)[0].tolist()
        value = array[tuple(where)]
        place = where[0] if len(where) == 1 else where
        raise UserError(f"{name} is {value} at position {place}: finite numbers are allowed.")


def _in_vocabulary(what: str, tokens: np.ndarray, info: ModelInfo) -> None:
    if tokens.min() < 0 or tokens.max() >= info.vocab_size:
        bad = np.argwhere((tokens < 0) | (tokens >= info.vocab_size))[0].tolist()
        raise UserError(
            f"{what} {int(tokens[tuple(bad)])} at position {bad[0]} is out of range: "
            f"0 to {info.vocab_size - 1} are allowed."
        )


def _is_int(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _names(names: Iterable[str]) -> str:
    return ", ".join(names) or "none"
