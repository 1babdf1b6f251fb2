"""What capturing costs beside the work that it captures, and how many bytes it keeps of a token.

    python tests/benchmarks/captures.py

CPU time of the recorder's own work (rows, sums, blocks; without what PostgreSQL does with the rows)
against the engine's for the same pass and step, on the nano model. To reach: 0.01 of a step.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "platform"), str(REPOSITORY)]

import django
import numpy as np

django.setup()

import torch

from captures import blocks
from gpu_workers import nano
from gpu_workers.capture.measuring import measure
from gpu_workers.capture.stepping import Gathered
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.types import AdapterSpec, CreateRun, Datum, ForwardBackward, OptimStep

TIMES = 7


def examples(datums: int, length: int, *, policy: bool) -> list[Datum]:
    """Tokens of our own documentation in a rough vocabulary: they repeat as text does."""
    text = (REPOSITORY / "docs" / "engine.md").read_bytes()
    random = np.random.default_rng(0)
    made = []
    for _ in range(datums):
        start = int(random.integers(0, len(text) - length - 1))
        tokens = np.frombuffer(text[start : start + length + 1], np.uint8).astype(np.int64)
        inputs: dict[str, Any] = {"target_tokens": tokens[1:]}
        answered = np.arange(length) >= length // 3
        if policy:
            inputs["logprobs"] = (random.normal(-1, 0.8, length) * answered).astype(np.float32)
            inputs["advantages"] = (random.normal() * answered).astype(np.float32)
        else:
            inputs["weights"] = answered.astype(np.float32)
        made.append(Datum(tokens[:-1].astype(np.int32), inputs))
    return made


def engine_cpu(engine: Engine, work: ForwardBackward) -> tuple[float, Any]:
    """CPU seconds of a pass and a step on the engine, and the pass's result."""
    ended = threading.Event()
    results: list[Any] = []
    before = time.process_time()
    engine.submit("run", work, team="team", done=results.append)
    engine.submit("run", OptimStep(learning_rate=0.0), team="team", done=lambda _: ended.set())
    if not ended.wait(300) or isinstance(results[0], BaseException):
        raise RuntimeError(f"the engine failed: {results}")
    return time.process_time() - before, results[0]


def capture_cpu(work: ForwardBackward, result: Any) -> tuple[float, int]:
    """CPU seconds of capturing it, and the bytes of its blocks."""
    before = time.thread_time()
    found = measure("run", 0, 1, work, result)
    gathered = Gathered()
    gathered.add(1, found)
    gathered.step("run", 0, 2, OptimStep(), None, 1.0)
    arrays = found.arrays()
    encoded = [
        blocks.encode([arrays[place] for place in places]) for places in blocks.in_blocks(arrays)
    ]
    return time.thread_time() - before, sum(map(len, encoded))


def main() -> None:
    """Print a line a shape."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        base = BaseModel.load(nano.folder("nano-qwen3"), dtype="float32")
        engine = Engine(base, EngineOptions(Path(folder)))
        engine.start()
        engine.submit("run", CreateRun(AdapterSpec(16, 0)), team="team", done=lambda _: None)
        for datums, length, policy in ((8, 128, False), (64, 128, False), (64, 250, True)):
            loss = "importance_sampling" if policy else "cross_entropy"
            work = ForwardBackward(examples(datums, length, policy=policy), loss)
            spent, captured, size = [], [], 0
            for _ in range(TIMES):
                engine_s, result = engine_cpu(engine, work)
                capture_s, size = capture_cpu(work, result)
                spent.append(engine_s)
                captured.append(capture_s)
            share = min(captured) / min(spent)
            print(
                f"{loss:20} | {datums} x {length} | engine {min(spent) * 1e3:7.1f} ms | capture "
                f"{min(captured) * 1e3:5.2f} ms | x{share:.4f} | "
                f"{size / datums / length:.2f} bytes a token"
            )
        engine.stop()


if __name__ == "__main__":
    main()
