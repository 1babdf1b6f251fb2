"""Everything that can be asked of a prompt equals what transformers' whole logits say."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from gpu_workers.engine.sampler import prompt as prompt_module
from gpu_workers.engine.types import NO_LOGPROB, PromptTargets, SampleResult
from tests.gpu_workers.engine.sampler.helpers import (
    CONTEXT,
    VOCABULARY,
    Tiny,
    endless,
    prompt_of,
    sample_one,
    sample_some,
)


def reference(tiny: Tiny, prompt: list[int]) -> np.ndarray:
    """float32 [N, V]: logprobs of every token after each of the prompt."""
    with torch.no_grad():
        return tiny.reference(torch.tensor([prompt])).logits[0].log_softmax(-1).numpy()


def table(tokens: np.ndarray) -> PromptTargets:
    """A dense table of targets."""
    rows, width = tokens.shape
    return PromptTargets(np.repeat(np.arange(rows), width), tokens.reshape(-1), (rows, width))


@pytest.mark.parametrize("length", [2, 9, 100, CONTEXT])
def test_likeliest_tokens(tiny: Tiny, length: int) -> None:
    work = endless(prompt_of(length), topk_prompt_logprobs=3, prompt_logprobs=True, max_tokens=1)
    result = sample_one(tiny.sampler(prefill_tokens=32), work)
    top, expected = result.top_prompt, reference(tiny, work.prompt)
    assert top is not None
    assert top.tokens.shape == top.logprobs.shape == (length, 3)
    assert top.tokens[0].tolist() == [0, 0, 0]
    assert top.logprobs[0].tolist() == [NO_LOGPROB] * 3
    order = np.argsort(-expected[:-1], -1)[:, :3]
    np.testing.assert_allclose(
        top.logprobs[1:], np.take_along_axis(expected[:-1], order, -1), atol=2e-5
    )
    np.testing.assert_allclose(
        top.logprobs[1:], np.take_along_axis(expected[:-1], top.tokens[1:], -1), atol=2e-5
    )
    own = expected[np.arange(length - 1), work.prompt[1:]]
    np.testing.assert_allclose(result.prompt_logprobs[1:], own, atol=2e-5)


@pytest.mark.parametrize("last", [1, 7, 79])
def test_the_last_tokens_only(tiny: Tiny, last: int) -> None:
    prompt = prompt_of(80)
    scores = {"prompt_logprobs": True, "topk_prompt_logprobs": 2, "max_tokens": 1}
    whole = sample_one(tiny.sampler(prefill_tokens=32), endless(prompt, **scores))
    some = sample_one(
        tiny.sampler(prefill_tokens=32), endless(prompt, **scores, prompt_logprobs_last_n=last)
    )
    assert np.isnan(some.prompt_logprobs[:-last]).all()
    np.testing.assert_array_equal(some.prompt_logprobs[-last:], whole.prompt_logprobs[-last:])
    assert (some.top_prompt.logprobs[:-last] == NO_LOGPROB).all()
    np.testing.assert_array_equal(some.top_prompt.tokens[-last:], whole.top_prompt.tokens[-last:])


def test_named_targets(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_module, "_LOGITS_BYTES", 4 * VOCABULARY * 11)
    prompt = prompt_of(60)
    tokens = np.random.default_rng(0).integers(-1, VOCABULARY, (59, 4))
    tokens[:20] = -1
    work = endless(prompt, prompt_targets=table(tokens), max_tokens=1)
    result = sample_one(tiny.sampler(prefill_tokens=32), work)
    assert result.prompt_logprobs is None
    found = result.target_logprobs.reshape(59, 4)
    expected = np.take_along_axis(reference(tiny, prompt)[:-1], tokens.clip(0), -1)
    np.testing.assert_allclose(found, np.where(tokens < 0, 0, expected), atol=2e-5)


def draws(tiny: Tiny, prompt: list[int], **parameters: float) -> SampleResult:
    return sample_one(
        tiny.sampler(prefill_tokens=8),
        endless(prompt, prompt_alt_tokens_k=VOCABULARY // 2, max_tokens=1, **parameters),
    )


def test_alternative_tokens_are_drawn_at_the_requests_temperature(qwen: Tiny) -> None:
    prompt = prompt_of(12)
    expected = reference(qwen, prompt)[:-1]
    result = draws(qwen, prompt, temperature=0.5, seed=3)
    again = draws(qwen, prompt, temperature=0.5, seed=3)
    other = draws(qwen, prompt, temperature=0.5, seed=4)
    tokens, logprobs = result.alt_tokens, result.alt_logprobs
    assert tokens.shape == logprobs.shape == (11, VOCABULARY // 2)
    np.testing.assert_array_equal(tokens, again.alt_tokens)
    assert (tokens != other.alt_tokens).any()
    # the model's own logprobs, whatever the temperature of the draw
    np.testing.assert_allclose(logprobs, np.take_along_axis(expected, tokens, -1), atol=2e-5)
    scaled = np.exp(expected / 0.5)
    scaled /= scaled.sum(-1, keepdims=True)
    for row in range(11):
        best = int(scaled[row].argmax())
        share = (tokens[row] == best).mean()
        assert abs(share - scaled[row, best]) < 0.2
    cold = draws(qwen, prompt, temperature=0.0)
    assert (cold.alt_tokens == expected.argmax(-1)[:, None]).all()


def test_likeliest_tokens_of_samples(tiny: Tiny) -> None:
    prompt = prompt_of(10)
    work = endless(prompt, topk_sample_logprobs=4, num_samples=2, max_tokens=12, seed=1)
    for sequence in sample_one(tiny.sampler(), work).sequences:
        assert sequence.top is not None
        assert sequence.top.tokens.shape == (12, 4)
        expected = reference(tiny, prompt + sequence.tokens.tolist())[len(prompt) - 1 : -1]
        best = -np.sort(-expected, -1)[:, :4]
        np.testing.assert_allclose(sequence.top.logprobs, best, atol=2e-5)
    filtered = endless(prompt, topk_sample_logprobs=4, top_k=2, max_tokens=3, seed=1)
    (sequence,) = sample_one(tiny.sampler(), filtered).sequences
    assert (sequence.top.logprobs[:, 2:] == NO_LOGPROB).all()
    np.testing.assert_allclose(np.exp(sequence.top.logprobs[:, :2]).sum(-1), 1, atol=1e-5)


def test_scores_do_not_depend_on_neighbours(qwen: Tiny) -> None:
    prompt = prompt_of(50)
    asked = {"topk_prompt_logprobs": 2, "prompt_alt_tokens_k": 2, "seed": 5, "max_tokens": 3}
    alone = sample_one(qwen.sampler(prefill_tokens=16), endless(prompt, **asked))
    crowded = qwen.sampler(prefill_tokens=16)
    for length in (3, 40, 90):
        crowded.submit(None, None, endless(prompt_of(length)), "other", lambda result: None)
    (beside,) = sample_some(crowded, [(None, endless(prompt, **asked))])
    np.testing.assert_array_equal(beside.top_prompt.logprobs, alone.top_prompt.logprobs)
    np.testing.assert_array_equal(beside.alt_tokens, alone.alt_tokens)
    np.testing.assert_array_equal(beside.alt_logprobs, alone.alt_logprobs)
