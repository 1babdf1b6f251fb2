"""Training many runs in one pass against PEFT one run after another, in one process, by ratio.

    python tests/benchmarks/batched_training.py

Prints, for each number of tokens a run, the CPU time of one step (forward, backward, AdamW) of
eight runs: with PEFT, adapter by adapter, and with the engine, submitted together. Both do the
same maths in float32 with one thread; the ratio is what batching, packing, the fused head and the
arena gain.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen3Config, Qwen3ForCausalLM

from gpu_workers.engine.base import LINEARS, BaseModel
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    Datum,
    ForwardBackward,
    OptimStep,
    RunWork,
)

RUNS, RANK, VOCABULARY = 8, 16, 4096
TARGETS = ((8, 1.0), (16, 3.0), (64, 1.5), (256, 0.9), (512, 0.9), (1024, 0.9))
"""(tokens a run, the ratio to reach)."""


def make_model() -> Qwen3ForCausalLM:
    """4.2M parameters."""
    torch.manual_seed(0)
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
    return Qwen3ForCausalLM(config)


def make_data(tokens: int, seed: int) -> list[Datum]:
    """One run's request: sequences of at most 128 tokens."""
    rng = np.random.default_rng(seed)
    lengths = [min(128, tokens - start) for start in range(0, tokens, 128)]
    return [
        Datum(
            rng.integers(0, VOCABULARY, n).astype(np.int32),
            {
                "target_tokens": rng.integers(0, VOCABULARY, n),
                "weights": np.ones(n, np.float32),
            },
        )
        for n in lengths
    ]


class Peft:
    """Eight adapters in one PEFT model, trained one after another with the library's own parts."""

    def __init__(self, model: Qwen3ForCausalLM, unembed: bool) -> None:
        targets = [name for _, name, _ in LINEARS] + (["lm_head"] if unembed else [])
        config = LoraConfig(r=RANK, lora_alpha=32, target_modules=targets)
        self.model: PeftModel = get_peft_model(model, config, adapter_name="run0")
        for number in range(1, RUNS):
            self.model.add_adapter(f"run{number}", config)
        self.optimizers = []
        for number in range(RUNS):
            self.model.set_adapter(f"run{number}")
            trained = [p for p in self.model.parameters() if p.requires_grad]
            self.optimizers.append(torch.optim.AdamW(trained, lr=1e-4, fused=True))

    def step(self, data: list[list[Datum]]) -> None:
        """One training step of every run."""
        for number, datums in enumerate(data):
            self.model.set_adapter(f"run{number}")
            ids = torch.tensor(np.stack([datum.tokens for datum in datums]), dtype=torch.int64)
            targets = torch.tensor(np.stack([datum.inputs["target_tokens"] for datum in datums]))
            logits = self.model(input_ids=ids).logits
            loss = torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), targets.flatten(), reduction="sum"
            )
            loss.backward()
            self.optimizers[number].step()
            self.optimizers[number].zero_grad()


class Ours:
    """Eight runs of one engine."""

    def __init__(self, model: Qwen3ForCausalLM, directory: Path, unembed: bool) -> None:
        base = BaseModel(model, "benchmark", None)
        self.engine = Engine(base, EngineOptions(park_directory=directory))
        self.engine.start()
        for number in range(RUNS):
            spec = AdapterSpec(RANK, number, train_unembed=unembed)
            self._wait([(f"run{number}", CreateRun(spec))])

    def step(self, data: list[list[Datum]]) -> None:
        """One training step of every run, pipelined as a client would."""
        works: list[tuple[str, RunWork]] = []
        for number, datums in enumerate(data):
            works.append((f"run{number}", ForwardBackward(datums, "cross_entropy")))
            works.append((f"run{number}", OptimStep()))
        self._wait(works)

    def _wait(self, works: list[tuple[str, RunWork]]) -> None:
        left = len(works)
        finished = threading.Event()

        def done(result: object) -> None:
            nonlocal left
            if isinstance(result, BaseException):
                raise result
            left -= 1
            if not left:
                finished.set()

        with self.engine._wake:  # so that all of it arrives together
            for run, work in works:
                self.engine.submit(run, work, team=run, done=done)
        if not finished.wait(120):
            raise TimeoutError("the engine did not answer")


def cpu_seconds(step: Callable[[], None], repeats: int) -> float:
    """The least CPU time of one step."""
    step()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        step()
        times.append(time.process_time() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--no-unembed", action="store_true", help="no LoRA on lm_head")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    unembed = not arguments.no_unembed
    with tempfile.TemporaryDirectory() as directory:
        peft, ours = Peft(make_model(), unembed), Ours(make_model(), Path(directory), unembed)
        print(f"{RUNS} runs, rank {RANK}, LoRA on lm_head: {unembed}; CPU time of one step")
        print("tokens a run |   PEFT, ms |   ours, ms | ratio | to reach")
        for tokens, target in TARGETS:
            data = [make_data(tokens, number) for number in range(RUNS)]
            theirs = cpu_seconds(partial(peft.step, data), arguments.repeats)
            mine = cpu_seconds(partial(ours.step, data), arguments.repeats)
            print(
                f"{tokens:12} | {theirs * 1e3:10.1f} | {mine * 1e3:10.1f} | "
                f"{theirs / mine:5.2f} | {target:.1f}"
            )
        ours.engine.stop()


if __name__ == "__main__":
    main()
