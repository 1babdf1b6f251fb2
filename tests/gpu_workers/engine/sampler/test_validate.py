"""Every mistake is refused with a message that names it and what is allowed."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest

from gpu_workers.engine.sampler.validate import token_budget, validate
from gpu_workers.engine.types import PromptTargets, Sample, UserError


@dataclass(frozen=True)
class Limits:
    vocab_size: int = 100
    max_context_length: int = 16
    eos_token_ids: tuple[int, ...] = (3,)


def targets(rows: list[int], tokens: list[int], shape: tuple[int, int]) -> PromptTargets:
    return PromptTargets(np.array(rows), np.array(tokens), shape)


GOOD = Sample([1, 2, 3], num_samples=2, max_tokens=4)


def test_good_requests_pass() -> None:
    validate(GOOD, Limits())
    validate(Sample([0] * 15, max_tokens=None, temperature=0, top_k=0, top_p=1e-9), Limits())
    validate(Sample([99], seed=-(2**63), stop_tokens=[], stop_strings=[]), Limits())
    validate(Sample([1], stop_tokens=[0, 99], stop_strings=["\n\n", "é"]), Limits())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"prompt": []}, "empty"),
        ({"prompt": [1] * 17}, "17 tokens.*at most 16"),
        ({"topk_prompt_logprobs": -1}, "topk_prompt_logprobs is -1"),
        ({"topk_sample_logprobs": 101}, "0 to 100"),
        ({"prompt_alt_tokens_k": 101}, "0 to 100"),
        ({"prompt_logprobs_last_n": 1}, "needs prompt_logprobs"),
        ({"prompt_logprobs": True, "prompt_logprobs_last_n": 0}, "last_n is 0"),
        ({"prompt_logprobs": True, "prompt_logprobs_last_n": 16}, "last_n"),
        ({"prompt_targets": targets([0], [5], (9, 1))}, r"use \[2, K\]"),
        ({"prompt_targets": targets([0, 1], [-1, -1], (2, 1))}, "names 0 tokens"),
        ({"prompt_targets": targets([0, 1], [1, 100], (2, 1))}, "token 100 in row 1"),
        ({"prompt": [1, 100]}, "token 100 at position 1.*0 to 99"),
        ({"prompt": [-1]}, "token -1 at position 0"),
        ({"prompt": [1.5]}, "integers"),
        ({"prompt": [[1], [2]]}, "flat list"),
        ({"prompt": [[1], 2]}, "flat list"),
        ({"prompt": ["a"]}, "integers"),
        ({"prompt": [2**70]}, "integers"),
        ({"num_samples": 0}, "num_samples is 0.*1 to 1024"),
        ({"num_samples": 1025}, "1 to 1024"),
        ({"num_samples": 1.0}, "integer"),
        ({"max_tokens": 0}, "max_tokens is 0.*at least 1"),
        ({"max_tokens": -5}, "max_tokens is -5"),
        ({"temperature": -0.1}, "temperature is -0.1"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"temperature": None}, "temperature is None"),
        ({"top_k": -2}, "top_k is -2.*-1 switches it off"),
        ({"top_k": True}, "top_k is True"),
        ({"top_p": 0.0}, "top_p is 0.0.*above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"top_p": math.nan}, "top_p is nan"),
        ({"seed": 2**63}, "seed is"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"stop_tokens": [100]}, "stop token is 100.*0 to 99"),
        ({"stop_strings": [""]}, "1 to 1024 characters"),
        ({"stop_strings": ["x" * 1025]}, "1 to 1024 characters"),
        ({"stop_strings": ["x"] * 40, "stop_tokens": [1] * 25}, "at most 64"),
    ],
)
def test_mistakes_are_refused(wrong: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        validate(Sample(**{"prompt": [1, 2, 3], **wrong}), Limits())


def test_token_budget_ends_with_the_context() -> None:
    assert token_budget(GOOD, Limits()) == 4
    assert token_budget(Sample([1] * 10, max_tokens=None), Limits()) == 6
    assert token_budget(Sample([1] * 10, max_tokens=100), Limits()) == 6
    assert token_budget(Sample([1] * 15, max_tokens=None), Limits()) == 1
