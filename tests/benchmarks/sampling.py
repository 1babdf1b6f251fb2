"""How fast the local sampler is, as ratios measured in one run. Nothing here decides a test.

    python tests/benchmarks/sampling.py [--threads 1] [--new 64]

Prints tokens a second of the sampler at 1, 16 and 64 concurrent samples, of transformers'
`generate` at the same batch, and of 64 samples that share one prompt or belong to many adapters.
`generate` computes no logprobs; the sampler always does.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch
from transformers import GenerationConfig, Qwen3Config, Qwen3ForCausalLM

from gpu_workers.engine.arena import FrozenAdapter, Layout
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.sampler.local import LocalSampler
from gpu_workers.engine.sampler.options import SamplerOptions
from gpu_workers.engine.types import AdapterSpec, Sample

VOCABULARY = 4096
PROMPT = 32


def model(seed: int = 0) -> Qwen3ForCausalLM:
    """A Qwen3 of 4.2M parameters with random weights, the shape of engine.md's measurements."""
    torch.manual_seed(seed)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    return Qwen3ForCausalLM(config).float().eval()


def random_adapter(base: BaseModel, rank: int = 16) -> FrozenAdapter:
    """An adapter on every linear of the layers."""
    layout = Layout(base.modules, AdapterSpec(rank=rank, seed=0, train_unembed=False))
    return FrozenAdapter(layout, torch.randn(layout.size) * 0.02)


def run(sampler: LocalSampler, requests: list[tuple[str | None, Sample]]) -> int:
    """Sample all requests side by side; the number of tokens."""
    results: list = []
    for version, work in requests:
        sampler.submit(version, None, work, "team", results.append)
    while sampler.has_work():
        sampler.step()
    return sum(len(s.tokens) for result in results for s in result.sequences)


def rates(function: Callable[[], int], repeats: int) -> tuple[float, float]:
    """The best of some runs: tokens a second of wall-clock time, and of CPU time."""
    function()
    wall = cpu = 0.0
    for _ in range(repeats):
        started, spent = time.perf_counter(), time.process_time()
        tokens = function()
        wall = max(wall, tokens / (time.perf_counter() - started))
        cpu = max(cpu, tokens / (time.process_time() - spent))
    return wall, cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--new", type=int, default=64, help="tokens a sample")
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    reference = model()
    base = BaseModel(model(), "none", None)
    sampler = LocalSampler(
        base, lambda directory: random_adapter(base), SamplerOptions(adapter_bytes=2**30)
    )
    for number in range(64):
        sampler.publish(f"adapter-{number}", random_adapter(base))
    prompts = torch.randint(0, VOCABULARY, (64, PROMPT))

    def work(row: int, samples: int = 1) -> Sample:
        return Sample(
            prompts[row].tolist(),
            num_samples=samples,
            max_tokens=arguments.new,
            stop_tokens=[],
            stop_strings=[],
        )

    @torch.inference_mode()
    def generate(batch: int) -> int:
        config = GenerationConfig(
            max_new_tokens=arguments.new,
            min_new_tokens=arguments.new,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            pad_token_id=0,
            eos_token_id=VOCABULARY - 1,
        )
        rows = prompts[:batch]
        out = reference.generate(
            input_ids=rows, attention_mask=torch.ones_like(rows), generation_config=config
        )
        return out[:, PROMPT:].numel()

    def measured(name: str, function: Callable[[], int]) -> tuple[float, float]:
        wall, cpu = rates(function, arguments.repeats)
        print(f"{name:36s} {wall:8.0f} {cpu:12.0f}", flush=True)
        return wall, cpu

    def ratio(name: str, one: tuple[float, float], other: tuple[float, float]) -> None:
        print(f"{name:36s} {one[0] / other[0]:8.2f} {one[1] / other[1]:12.2f}")

    print(f"prompt {PROMPT}, {arguments.new} new tokens, {arguments.threads} thread(s), float32")
    print(f"{'tokens':36s} {'a second':>8s} {'a CPU second':>12s}")
    ours: dict[int, tuple[float, float]] = {}
    theirs: dict[int, tuple[float, float]] = {}
    for batch in (1, 16, 64):
        works: list[tuple[str | None, Sample]] = [(None, work(row)) for row in range(batch)]
        ours[batch] = measured(f"sampler, {batch} samples", partial(run, sampler, works))
        theirs[batch] = measured(f"generate, {batch} samples", partial(generate, batch))
    shared = measured(
        "sampler, 64 samples of one prompt", partial(run, sampler, [(None, work(0, 64))])
    )
    mixed = measured(
        "sampler, 64 samples of 8 adapters",
        partial(run, sampler, [(f"adapter-{row % 8}", work(row)) for row in range(64)]),
    )
    many = measured(
        "sampler, 64 samples of 64 adapters",
        partial(run, sampler, [(f"adapter-{row}", work(row)) for row in range(64)]),
    )
    print("\nratios")
    ratio("64 samples over one stream", ours[64], ours[1])
    for batch in ours:
        ratio(f"sampler over generate, {batch} samples", ours[batch], theirs[batch])
    ratio("one prompt over 64 prompts", shared, ours[64])
    ratio("8 adapters over the base alone", mixed, ours[64])
    ratio("64 adapters over the base alone", many, ours[64])


if __name__ == "__main__":
    main()
