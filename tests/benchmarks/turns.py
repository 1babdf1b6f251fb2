"""What it costs an engine to be watched, so that every wait has a cause; to reach: below 1 %.

    python tests/benchmarks/turns.py [--steps 20]

A step is forward_backward of 8 sequences of 128 tokens and optim_step on a 7M-parameter model. Two
answers: CPU seconds of steps with and without a watcher, in turns (noisy on a busy machine), and
the notes that a step makes times what a note costs the engine's thread, which is not.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from gpu_workers.engine.turns import Watch
from gpu_workers.log.turns import TurnLog
from tests.benchmarks.cpu_per_step import engine_step, save_model

NOTES = 15_000


def cost_of_a_note() -> float:
    """Seconds of the engine's thread: reading the clock, dividing by runs, appending."""
    watch = Watch()
    watch.watcher = TurnLog(uuid.uuid4(), "default").of("model")
    weights = {("1", f"run {number}"): 128 for number in range(8)}
    began = time.perf_counter()
    for _ in range(NOTES):
        watch.served(time.monotonic(), dict(weights), in_tokens=True)
    return (time.perf_counter() - began) / NOTES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        save_model(directory / "model")
        step, engine = engine_step(directory, directory / "model", "float32")
        notes: list[object] = []
        seconds: dict[bool, list[float]] = {False: [], True: []}
        for number in range(2 * arguments.steps + 2):
            watched = number % 2 == 1
            engine._watch.watcher = notes.append if watched else None
            begun = time.process_time()
            step()
            if number >= 2:
                seconds[watched].append(time.process_time() - begun)
            elif not watched:
                notes.clear()
        engine.stop()
    per_step = len(notes) / (arguments.steps + 1)
    off, on = statistics.median(seconds[False]), statistics.median(seconds[True])
    note = cost_of_a_note()
    print(f"CPU seconds a step: {off:.4f} alone, {on:.4f} watched ({on / off - 1:+.2%})")
    print(f"{per_step:.1f} notes a step, {note * 1e6:.1f} us each: {per_step * note / off:.4%}")


if __name__ == "__main__":
    main()
