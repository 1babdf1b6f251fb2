"""CPU seconds that one training step of a 7M-parameter model costs, engine alone and whole server.

    python tests/benchmarks/cpu_per_step.py             # the engine in this process
    python tests/benchmarks/cpu_per_step.py --stack     # also `manage.py up`, all its processes

A step is forward_backward of 8 sequences of 128 tokens and optim_step, rank 16, pipelined. With
--stack the CPU time of every server process is summed (web, worker, PostgreSQL, Valkey, launcher);
the client is this process and does not count. To reach: at most 0.5 CPU seconds in all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import psutil
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.types import AdapterSpec, CreateRun, Datum, ForwardBackward, OptimStep

REPOSITORY = Path(__file__).resolve().parents[2]
VOCABULARY, SEQUENCES, LENGTH, RANK = 8192, 8, 128, 16
NAME = "benchmark/qwen3-7m"


def save_model(directory: Path) -> None:
    """6.8M parameters with random weights."""
    torch.manual_seed(0)
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=6,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=64,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    Qwen3ForCausalLM(config).save_pretrained(directory)


def make_sequences() -> list[tuple[np.ndarray, np.ndarray]]:
    """Tokens and targets."""
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, VOCABULARY, (SEQUENCES, 2, LENGTH))
    return [(tokens, targets) for tokens, targets in drawn]


def engine_step(directory: Path, model: Path, dtype: str) -> tuple[Callable[[], None], Engine]:
    """One step of a run on an engine of this process."""
    engine = Engine(BaseModel.load(model, dtype=dtype), EngineOptions(directory / dtype))
    engine.start()
    data = [
        Datum(
            tokens.astype(np.int32),
            {"target_tokens": targets, "weights": np.ones(LENGTH, np.float32)},
        )
        for tokens, targets in make_sequences()
    ]

    def do(*works: Any) -> None:
        last = threading.Event()
        results: list[Any] = []
        for work in works:
            engine.submit("run", work, team="team", done=results.append)
        engine.submit("run", OptimStep(learning_rate=0.0), team="team", done=lambda _: last.set())
        if not last.wait(300) or any(isinstance(result, BaseException) for result in results):
            raise RuntimeError(f"the engine failed: {results}")

    do(CreateRun(AdapterSpec(RANK, 0)))
    return lambda: do(ForwardBackward(data, "cross_entropy")), engine


def measure(step: Callable[[], None], clock: Callable[[], float], steps: int) -> list[float]:
    """CPU seconds of each of so many steps, after two that do not count."""
    times = []
    for number in range(steps + 2):
        start = clock()
        step()
        if number >= 2:
            times.append(clock() - start)
    return times


def show(what: str, times: list[float], note: str = "") -> None:
    print(
        f"{what:28} | least {min(times):.3f} | median {statistics.median(times):.3f} {note}",
        flush=True,
    )


def engine_alone(model: Path, directory: Path, steps: int) -> None:
    torch.set_num_threads(1)
    for dtype in ("float32", "auto"):
        step, engine = engine_step(directory, model, dtype)
        times = measure(step, time.process_time, steps)
        show(f"engine, {dtype}", times, f"({engine.base.dtype})")
        engine.stop()


class Stack:
    """`manage.py up` with the model, and a training client of our SDK."""

    def __init__(self, model: Path, directory: Path) -> None:
        self.data = directory / "data"
        self.ready = directory / "ready.json"
        command = [sys.executable, str(REPOSITORY / "manage.py"), "up", "--port", "0"]
        command += ["--data-dir", str(self.data), "--ready-file", str(self.ready)]
        command += ["--model", f"{NAME}={model}"]
        self.log = (directory / "up.log").open("ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def connect(self) -> Callable[[], None]:
        """Wait for the stack; gives one training step."""
        import tinsmith

        deadline = time.monotonic() + 300
        while not self.ready.exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(Path(self.log.name).read_text(errors="replace"))
            time.sleep(0.2)
        access = json.loads(self.ready.read_text())
        service = tinsmith.ServiceClient(base_url=access["url"], api_key=access["api_key"])
        training = service.create_lora_training_client(base_model=NAME, rank=RANK)
        data = [tinsmith.Datum.from_tokens(t, targets=y) for t, y in make_sequences()]

        def step() -> None:
            passed = training.forward_backward(data, "cross_entropy")
            stepped = training.optim_step(tinsmith.AdamParams(learning_rate=1e-4))
            passed.result(timeout=300)
            stepped.result(timeout=300)

        return step

    def cpu_seconds(self) -> float:
        """CPU time so far of the launcher and everything it started."""
        launcher = psutil.Process(self.process.pid)
        total = 0.0
        for process in (launcher, *launcher.children(recursive=True)):
            try:
                times = process.cpu_times()
            except psutil.Error:
                continue
            total += times.user + times.system
        return total

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        self.log.close()


def whole_stack(model: Path, directory: Path, steps: int) -> None:
    stack = Stack(model, directory)
    try:
        step = stack.connect()
        # Clocks of other processes tick in hundredths: many steps are one measurement.
        times = [sum(measure(step, stack.cpu_seconds, 10)) / 10 for _ in range(max(1, steps // 10))]
        show("all server processes", times, "(to reach: 0.5)")
    finally:
        stack.stop()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--stack", action="store_true", help="measure manage.py up, too")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o711)  # the database may run as another user
        save_model(directory / "model")
        print(f"CPU seconds a step of {SEQUENCES}x{LENGTH} tokens, rank {RANK}, 6.8M parameters")
        engine_alone(directory / "model", directory, arguments.steps)
        if arguments.stack:
            whole_stack(directory / "model", directory, arguments.steps)


if __name__ == "__main__":
    main()
