"""What the sampler computes is what transformers, PEFT and our own trainer compute."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch

from gpu_workers.engine.arena import FrozenAdapter, Layout
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.sampler import prompt as prompt_module
from gpu_workers.engine.types import AdapterSpec
from tests.gpu_workers.engine.sampler.helpers import (
    CONTEXT,
    Tiny,
    endless,
    prompt_of,
    sample_all,
    sample_one,
    tokens_of,
)


def test_greedy_equals_generate(tiny: Tiny) -> None:
    prompts = [prompt_of(n) for n in (1, 5, 31, 64, 65, 130)]
    results = sample_all(
        tiny.sampler(), [(None, endless(p, temperature=0.0, max_tokens=70)) for p in prompts]
    )
    for prompt, result in zip(prompts, results, strict=True):
        assert tokens_of(result) == [tiny.generate(tiny.reference, prompt, 70)]


@pytest.mark.parametrize("rank", [1, 8, 20])
def test_greedy_with_adapter_equals_generate_with_peft(
    tiny: Tiny, tmp_path: Path, rank: int
) -> None:
    directory = tiny.save(tiny.adapter(rank, rank), tmp_path / "adapter")
    sampler = tiny.sampler()
    work = endless(prompt_of(17), temperature=0.0, max_tokens=40)
    (result,) = sample_all(sampler, [("v1", work)], {"v1": directory})
    expected = tiny.generate(tiny.with_peft(directory), work.prompt, 40)
    assert tokens_of(result) == [expected]
    assert expected != tiny.generate(tiny.reference, work.prompt, 40), "the adapter does nothing"


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logprobs_equal_the_trainers_forward(tiny: Tiny, temperature: float) -> None:
    sampler = tiny.sampler(prefill_tokens=48)
    adapters = {"a": tiny.adapter(1), "b": tiny.adapter(2, 16, train_mlp=False)}
    for name, adapter in adapters.items():
        sampler.publish(name, adapter)
    asked = [
        (
            version,
            endless(prompt_of(n), temperature=temperature, max_tokens=40, num_samples=2, seed=n),
        )
        for n in (3, 40, 100)
        for version in (None, "a", "b")
    ]
    for (version, work), result in zip(asked, sample_all(sampler, asked), strict=True):
        for sequence in result.sequences:
            whole = work.prompt + sequence.tokens.tolist()
            expected = tiny.trainer_logprobs(whole, adapters.get(version or ""))
            np.testing.assert_allclose(
                sequence.logprobs, expected[len(work.prompt) - 1 :], atol=1e-5, rtol=0
            )


def test_prompt_logprobs_equal_the_trainers_forward(tiny: Tiny) -> None:
    adapter = tiny.adapter(1)
    for chunk in (16, 256):
        sampler = tiny.sampler(prefill_tokens=chunk)
        sampler.publish("a", adapter)
        for length in (1, 2, 16, 17, 200, CONTEXT - 1):
            # The temperature scales what is sampled, never the prompt's logprobs.
            work = endless(prompt_of(length), prompt_logprobs=True, temperature=0.3, max_tokens=1)
            result = sample_one(sampler, work, "a")
            scores = result.prompt_logprobs
            assert scores is not None
            assert scores.dtype == np.float32
            assert scores.shape == (length,)
            assert np.isnan(scores[0])
            expected = tiny.trainer_logprobs([*work.prompt, 5], adapter)[:-1]
            np.testing.assert_allclose(scores[1:], expected, atol=1e-5, rtol=0)


def test_bfloat16_agrees_with_the_trainer_as_far_as_it_can(qwen: Tiny) -> None:
    small = Tiny(qwen.reference, BaseModel(copy.deepcopy(qwen.reference).bfloat16(), "", None))
    row = qwen.adapter(1).row
    adapter = FrozenAdapter(Layout(small.base.modules, AdapterSpec(rank=8, seed=0)), row.bfloat16())
    sampler = small.sampler()
    sampler.publish("a", adapter)
    work = endless(prompt_of(30), num_samples=3, max_tokens=50, prompt_logprobs=True)
    for version, weights in ((None, None), ("a", adapter)):
        result = sample_one(sampler, work, version)
        for sequence in result.sequences:
            assert sequence.logprobs.dtype == np.float32
            expected = small.trainer_logprobs(work.prompt + sequence.tokens.tolist(), weights)
            np.testing.assert_allclose(sequence.logprobs, expected[29:], atol=0.2)
            assert np.abs(sequence.logprobs - expected[29:]).mean() < 0.04


def test_prompt_logprobs_are_computed_in_blocks(
    qwen: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = endless(prompt_of(150), prompt_logprobs=True, max_tokens=1)
    whole = sample_one(qwen.sampler(), work)
    monkeypatch.setattr(prompt_module, "_LOGITS_BYTES", 4 * 300 * 11)
    blocks = sample_one(qwen.sampler(), work)
    np.testing.assert_array_equal(blocks.prompt_logprobs, whole.prompt_logprobs)


def test_logprobs_are_those_of_the_distribution_drawn_from(qwen: Tiny) -> None:
    work = endless(prompt_of(9), temperature=0.7, top_k=20, top_p=0.9, seed=1, max_tokens=30)
    (sequence,) = sample_one(qwen.sampler(), work).sequences
    whole = torch.tensor([work.prompt + sequence.tokens.tolist()])
    with torch.no_grad():
        logits = qwen.reference(whole).logits[0, len(work.prompt) - 1 : -1].double().numpy() / 0.7
    for row, token, logprob in zip(logits, sequence.tokens, sequence.logprobs, strict=True):
        order = np.argsort(-row)[:20]
        p = np.exp(row[order] - row[order].max())
        p /= p.sum()
        kept = int(np.searchsorted(np.cumsum(p), 0.9)) + 1
        assert token in order[:kept]
        at = list(order).index(token)
        assert logprob == pytest.approx(np.log(p[at] / p[:kept].sum()), abs=1e-4)
