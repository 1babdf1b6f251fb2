"""What a Sample may ask for: every mistake a user can make, found before the work is queued."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Protocol

import numpy as np
import numpy.typing as npt

from gpu_workers.engine.types import PromptTargets, Sample, UserError

MAX_NUM_SAMPLES = 1024
MAX_SCORES = 2**21
"""Numbers of one kind that may be wanted of a prompt: its length times k, or the cells named."""
MAX_STOPS = 64
MAX_STOP_CHARACTERS = 1024
GREEDY_BELOW = 1e-5
"""A temperature under this is taken as 0: dividing logits by it would only overflow."""


class ModelLimits(Protocol):
    """The part of the engine's ModelInfo that bounds a Sample."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def max_context_length(self) -> int: ...

    @property
    def eos_token_ids(self) -> Collection[int]: ...


def validate(work: Sample, info: ModelLimits) -> None:
    """Raise UserError, naming what is wrong and what is allowed, if `work` cannot be sampled."""
    _check_prompt(work.prompt, info)
    _check_int("num_samples", work.num_samples, 1, MAX_NUM_SAMPLES)
    if work.max_tokens is not None:
        _check_int("max_tokens", work.max_tokens, 1, None)
    _check_number("temperature", work.temperature, "0 (greedy) or a positive number")
    if work.temperature < 0:
        raise UserError(f"temperature is {work.temperature}: use 0 (greedy) or a positive number.")
    _check_int("top_k", work.top_k, -1, None, note=" (-1 switches it off)")
    _check_number("top_p", work.top_p, "a number above 0 and at most 1")
    if not 0 < work.top_p <= 1:
        raise UserError(f"top_p is {work.top_p}: use a number above 0 and at most 1.")
    if work.seed is not None:
        _check_int("seed", work.seed, -(2**63), 2**63 - 1)
    _check_stops(work, info)
    _check_scores(work, info)


def token_budget(work: Sample, info: ModelLimits) -> int:
    """How many tokens a sample may have: max_tokens, or less where the context ends before.

    Always one at least: it is drawn behind the prompt and needs no place in the context itself.
    """
    room = max(1, info.max_context_length - len(work.prompt))
    return room if work.max_tokens is None else min(work.max_tokens, room)


def prompt_array(prompt: list[int]) -> npt.NDArray[np.int64]:
    """The prompt as int64 [N]; UserError unless it is a flat list of integers."""
    try:
        array = np.asarray(prompt)
    except (ValueError, OverflowError):
        array = np.asarray("ragged")
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise UserError("The prompt must be a flat list of token ids (integers).")
    return array.astype(np.int64)


def _check_prompt(prompt: list[int], info: ModelLimits) -> None:
    if len(prompt) == 0:
        raise UserError("The prompt is empty: give at least one token.")
    if len(prompt) > info.max_context_length:
        raise UserError(
            f"The prompt has {len(prompt)} tokens: this model takes at most "
            f"{info.max_context_length}."
        )
    array = prompt_array(prompt)
    bad = np.flatnonzero((array < 0) | (array >= info.vocab_size))
    if bad.size:
        raise UserError(
            f"Prompt token {int(array[bad[0]])} at position {int(bad[0])} is out of range: "
            f"token ids are 0 to {info.vocab_size - 1}."
        )


def _check_int(name: str, value: object, low: int, high: int | None, note: str = "") -> None:
    allowed = f"at least {low}" if high is None else f"{low} to {high}"
    integral = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
    if not integral or value < low or (high is not None and value > high):  # type: ignore[operator]
        raise UserError(f"{name} is {value!r}: use an integer, {allowed}{note}.")


def _check_number(name: str, value: object, allowed: str) -> None:
    number = isinstance(value, (int, float, np.floating)) and not isinstance(value, bool)
    if not number or not math.isfinite(value):  # type: ignore[arg-type]
        raise UserError(f"{name} is {value!r}: use {allowed}.")


def _check_stops(work: Sample, info: ModelLimits) -> None:
    strings = work.stop_strings or []
    if len(strings) + len(work.stop_tokens or []) > MAX_STOPS:
        raise UserError(f"More than {MAX_STOPS} stops: give at most {MAX_STOPS}.")
    for token in work.stop_tokens or []:
        _check_int("A stop token", token, 0, info.vocab_size - 1)
    for text in strings:
        if not isinstance(text, str) or not 0 < len(text) <= MAX_STOP_CHARACTERS:
            raise UserError(
                f"Stop string {text!r:.80}: use a string of 1 to {MAX_STOP_CHARACTERS} characters."
            )


def _check_scores(work: Sample, info: ModelLimits) -> None:
    places = len(work.prompt) - 1
    for name in ("topk_prompt_logprobs", "topk_sample_logprobs", "prompt_alt_tokens_k"):
        k = getattr(work, name)
        _check_int(name, k, 0, info.vocab_size)
        tokens = len(work.prompt)
        if name == "topk_sample_logprobs":
            tokens = work.num_samples * token_budget(work, info)
        if k * tokens > MAX_SCORES:
            raise UserError(
                f"{name} is {k} for {tokens} tokens: their product may be at most {MAX_SCORES}."
            )
    if work.prompt_logprobs_last_n is not None:
        if not (work.prompt_logprobs or work.topk_prompt_logprobs):
            raise UserError("prompt_logprobs_last_n needs prompt_logprobs or topk_prompt_logprobs.")
        if not places:
            raise UserError("prompt_logprobs_last_n needs a prompt of two tokens or more.")
        _check_int("prompt_logprobs_last_n", work.prompt_logprobs_last_n, 1, places)
    if work.prompt_targets is not None:
        _check_targets(work.prompt_targets, places, info)


def _check_targets(targets: PromptTargets, places: int, info: ModelLimits) -> None:
    rows, width = targets.shape
    if rows != places or width < 1 or not (targets.tokens >= 0).any():
        raise UserError(
            f"target_prompt_logprobs has shape [{rows}, {width}] and names "
            f"{int((targets.tokens >= 0).sum())} tokens: use [{places}, K], one row less than the "
            "prompt has tokens, and name one token or more."
        )
    if len(targets.tokens) > MAX_SCORES:
        raise UserError(f"target_prompt_logprobs has more than {MAX_SCORES} cells.")
    bad = np.flatnonzero((targets.tokens < -1) | (targets.tokens >= info.vocab_size))
    if bad.size:
        raise UserError(
            f"target_prompt_logprobs names the token {int(targets.tokens[bad[0]])} in row "
            f"{int(targets.rows[bad[0]])}: use 0 to {info.vocab_size - 1}, or -1 for none."
        )
