"""What the platform adds to a training step: our SDK over HTTP against the bare engine.

    python tests/benchmarks/sdk_overhead.py

Both do the same step on the same nano model, forward_backward and optim_step handed in together, in
turns, so that both see the same machine. The platform is a real one (`manage.py up` on a temporary
folder). The target: at most 15 ms above the bare engine for 32 tokens.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

import numpy as np

from gpu_workers import nano
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.types import AdapterSpec, CreateRun, ForwardBackward, OptimStep
from gpu_workers.engine.types import Datum as EngineDatum
from tests.conftest import make_folder, remove_folder, start_up, stop_up, wait_ready
from tinsmith import AdamParams, Datum, ServiceClient, TrainingClient

MODEL = "nano-qwen3"
RANK = 16
STEPS = 100
TOKENS = (32, 256)


def bare_step(engine: Engine, tokens: int) -> None:
    """One step, straight into the engine."""
    ids = np.arange(tokens + 1) % 400
    inputs = {"target_tokens": ids[1:], "weights": np.ones(tokens, np.float32)}
    batch = ForwardBackward([EngineDatum(ids[:-1].astype(np.int32), inputs)], "cross_entropy")
    for waited in [submit(engine, batch), submit(engine, OptimStep())]:
        waited()


def submit(engine: Engine, work: object) -> Callable[[], object]:
    """Hand in work; the returned function waits for it."""
    done, results = threading.Event(), []
    engine.submit("run", work, team="team", done=lambda item: (results.append(item), done.set()))

    def wait() -> object:
        done.wait()
        if isinstance(results[0], BaseException):
            raise results[0]
        return results[0]

    return wait


def sdk_step(training: TrainingClient, tokens: int) -> None:
    """One step, through the SDK."""
    data = [Datum.from_tokens([index % 400 for index in range(tokens + 1)])]
    passed = training.forward_backward(data, "cross_entropy")
    stepped = training.optim_step(AdamParams())
    passed.result()
    stepped.result()


def compare(engine: Engine, training: TrainingClient, tokens: int) -> None:
    """Measure both in turns and print what one adds to the other."""
    seconds: dict[str, list[float]] = {"bare": [], "sdk": []}
    for index in range(STEPS + 10):
        for name, step in (
            ("bare", lambda: bare_step(engine, tokens)),
            ("sdk", lambda: sdk_step(training, tokens)),
        ):
            begun = time.perf_counter()
            step()
            if index >= 10:
                seconds[name].append(1e3 * (time.perf_counter() - begun))
    bare, sdk = (statistics.median(seconds[name]) for name in ("bare", "sdk"))
    tail = statistics.quantiles(seconds["sdk"], n=10)[-1]
    print(
        f"{tokens:4d} tokens: bare engine {bare:6.1f} ms, SDK {sdk:6.1f} ms (p90 {tail:.1f}): "
        f"+{sdk - bare:.1f} ms, ×{sdk / bare:.2f}"
    )


def main() -> None:
    """Start a platform and a bare engine and compare them."""
    folder = make_folder()
    process = start_up(folder)
    with tempfile.TemporaryDirectory() as parked:
        engine = Engine.load(nano.folder(MODEL), EngineOptions(park_directory=Path(parked)))
        engine.start()
        submit(engine, CreateRun(AdapterSpec(RANK, seed=1)))()
        try:
            stack = wait_ready(process, folder)
            with ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
                training = service.create_lora_training_client(f"tinsmith/{MODEL}", rank=RANK)
                for tokens in TOKENS:
                    compare(engine, training, tokens)
        finally:
            engine.stop()
            stop_up(process)
            remove_folder(folder)


if __name__ == "__main__":
    main()
