"""Whether the platform's memory stays flat: 2,000 training steps, 500 ephemeral samplers.

    python tests/benchmarks/memory.py [--steps 2000] [--samplers 500]

A real platform with both nano models. Every fourth step publishes a sampler and draws from it, as
an RL loop does; the client keeps none. Prints the resident memory of web process and worker on the
way. The targets: under 1.5 GB together, and flat after the first quarter.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

import psutil

from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready
from tinsmith import AdamParams, Datum, ModelInput, SamplingParams, ServiceClient

ROWS = 10


def resident_mb(stack: LiveStack) -> dict[str, float]:
    """MB of resident memory of the web process and the worker."""
    found = {}
    for child in psutil.Process(stack.process.pid).children():
        command = " ".join(child.cmdline())
        for text, name in (("uvicorn", "web"), ("celery", "worker")):
            if text in command:
                found[name] = child.memory_info().rss / 1e6
    return found


def main() -> None:
    """Train and sample for a long while and watch the memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--samplers", type=int, default=500)
    options = parser.parse_args()
    every = max(1, options.steps // options.samplers)
    folder = make_folder()
    process = start_up(folder)
    try:
        stack = wait_ready(process, folder)
        print(f"{'step':>6}{'samplers':>10}{'web MB':>9}{'worker MB':>11}{'s':>7}")
        with ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
            training = service.create_lora_training_client("tinsmith/nano-qwen3", rank=16)
            begun, samplers = time.monotonic(), 0
            for step in range(options.steps + 1):
                if step % (options.steps // ROWS) == 0:
                    memory = resident_mb(stack)
                    print(
                        f"{step:6d}{samplers:10d}{memory['web']:9.0f}{memory['worker']:11.0f}"
                        f"{time.monotonic() - begun:7.0f}",
                        flush=True,
                    )
                data = [Datum.from_tokens([(step + index) % 400 for index in range(17)])]
                passed = training.forward_backward(data, "cross_entropy")
                training.optim_step(AdamParams(learning_rate=1e-5)).result()
                passed.result()
                if step % every == every - 1 and samplers < options.samplers:
                    sampler = training.save_weights_and_get_sampling_client()
                    prompt = ModelInput.from_ints([1, 2, 3])
                    sampler.sample(prompt, 1, SamplingParams(max_tokens=2)).result()
                    samplers += 1
    finally:
        stop_up(process)
        remove_folder(folder)


if __name__ == "__main__":
    main()
