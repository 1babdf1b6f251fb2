"""The same request gives the same samples: alone, beside others, chunked, moved and reloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gpu_workers.engine.types import Sample
from tests.gpu_workers.engine.sampler.helpers import (
    Tiny,
    assert_same,
    endless,
    prompt_of,
    sample_all,
    sample_one,
    tokens_of,
)


def mixture(seed: int) -> list[tuple[str | None, Sample]]:
    """Requests of every kind, of three adapters and the base."""
    rng = np.random.default_rng(seed)
    asked: list[tuple[str | None, Sample]] = []
    for number in range(14):
        work = endless(
            prompt_of(int(rng.integers(1, 140)), seed),
            num_samples=int(rng.integers(1, 4)),
            max_tokens=int(rng.integers(1, 70)),
            temperature=[1.0, 0.0, 0.6, 1.3][number % 4],
            top_k=[-1, 5, 40][number % 3],
            top_p=[1.0, 0.8][number % 2],
            seed=int(rng.integers(2**40)),
            prompt_logprobs=number % 5 == 0,
        )
        asked.append(([None, "a", "b", "c"][number % 4], work))
    return asked


@pytest.fixture
def adapters(tiny: Tiny) -> dict:
    return {
        "a": tiny.adapter(1),
        "b": tiny.adapter(2, rank=3),
        "c": tiny.adapter(3, rank=32, train_attn=False),
    }


def test_mixed_batch_equals_one_by_one_to_the_bit(tiny: Tiny, adapters: dict) -> None:
    asked = mixture(5)
    together, alone = tiny.sampler(), tiny.sampler()
    for name, adapter in adapters.items():
        together.publish(name, adapter)
        alone.publish(name, adapter)
    for result, (version, work) in zip(sample_all(together, asked), asked, strict=True):
        assert_same(result, sample_one(alone, work, version))


def test_crowded_sampler_gives_the_same_samples(qwen: Tiny) -> None:
    asked = [(None, work) for _, work in mixture(6)]
    roomy = sample_all(qwen.sampler(), asked)
    crowded = sample_all(qwen.sampler(slots=3, guest_slots=1, kv_bytes=1), asked)
    for one, other in zip(roomy, crowded, strict=True):
        assert_same(one, other)


def test_greedy_is_deterministic_and_ignores_seed_and_filters(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    plain = sample_one(sampler, endless(prompt_of(12), temperature=0.0, num_samples=3))
    first, *others = tokens_of(plain)
    assert others == [first, first]
    dressed = sample_one(
        sampler, endless(prompt_of(12), temperature=0.0, seed=3, top_k=2, top_p=0.1)
    )
    assert tokens_of(dressed) == [first]
    np.testing.assert_array_equal(dressed.sequences[0].logprobs, plain.sequences[0].logprobs)


def test_seed_names_one_stream_a_sample(qwen: Tiny) -> None:
    sampler = qwen.sampler()

    def sampled(**parameters) -> list[list[int]]:
        return tokens_of(sample_one(sampler, endless(prompt_of(8), **parameters)))

    five = sampled(seed=11, num_samples=5)
    assert len({tuple(tokens) for tokens in five}) == 5
    assert sampled(seed=11, num_samples=2) == five[:2]
    assert sampled(seed=12, num_samples=2) != five[:2]
    assert sampled(seed=-1) == sampled(seed=-1)
    assert sampled() != sampled()


def test_reloaded_version_gives_identical_samples(tiny: Tiny, tmp_path: Path) -> None:
    directories = {
        name: tiny.save(tiny.adapter(seed), tmp_path / name)
        for seed, name in enumerate(("one", "two", "three"))
    }
    sampler = tiny.sampler(adapter_bytes=1)  # room for none but the last
    asked = [
        (name, endless(prompt_of(20), seed=4, num_samples=2, prompt_logprobs=True))
        for name in directories
    ]
    first = [sample_all(sampler, [request], directories)[0] for request in asked]
    assert sampler.versions.loads == 3
    assert len(sampler.versions) == 1
    again = [sample_all(sampler, [request], directories)[0] for request in asked]
    assert sampler.versions.loads == 6
    for one, other in zip(first, again, strict=True):
        assert_same(one, other)


def test_a_new_version_never_sees_the_old_ones_weights_or_cache(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    work = endless(prompt_of(30), temperature=0.0, max_tokens=40)
    fresh = {}
    for seed in range(3):
        lonely = qwen.sampler()
        lonely.publish("x", qwen.adapter(seed))
        fresh[seed] = sample_one(lonely, work, "x")
    for seed in range(3):
        # The same prompt, the same slots of the cache, one version after another and together.
        sampler.publish(f"v{seed}", qwen.adapter(seed))
        results = sample_all(sampler, [(f"v{old}", work) for old in range(seed + 1)])
        for old, result in enumerate(results):
            assert_same(result, fresh[old])
    assert len({tuple(tokens_of(result)[0]) for result in fresh.values()}) == 3
