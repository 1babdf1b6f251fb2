"""How long a publication takes while another team saves 300 times.

    python tests/benchmarks/saves.py [--saves 300] [--rank 32] [--runs 4]

A real platform, two teams. The second team publishes its weights by itself, then beside the first
one's saves, which a client of its own process asks for all at once. Prints both times and their
ratio; the target: at most 3 times as long.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

from tests.conftest import make_folder, remove_folder, start_up, stop_up, wait_ready
from tests.contract.conftest import BASE_MODEL, OTHER_TEAM, Administrator
from tinsmith import ServiceClient, TrainingClient

PAUSE_S = 0.1
ALONE = 20


def publish(run: TrainingClient, name: str, go_on: Callable[[int], bool]) -> list[float]:
    """Seconds that each publication took, one after another with pauses, while `go_on(number)`."""
    taken: list[float] = []
    while go_on(len(taken)):
        begun = time.monotonic()
        run.save_weights_for_sampler(f"{name}-{len(taken)}").result()
        taken.append(time.monotonic() - begun)
        time.sleep(PAUSE_S)
    return taken


def flood(options: argparse.Namespace) -> None:
    """The first team, in a process of its own: tells when its runs are made and all is saved."""
    with ServiceClient() as service:
        runs = [
            service.create_lora_training_client(BASE_MODEL, rank=options.rank)
            for _ in range(options.runs)
        ]
        for run in runs:
            run.get_info()
        print("made", flush=True)
        begun = time.monotonic()
        saves = [
            runs[number % options.runs].save_state(f"save-{number}")
            for number in range(options.saves)
        ]
        for save in saves:
            save.result()
        print(f"{options.saves} saves took {time.monotonic() - begun:.1f} s", flush=True)


def measure(options: argparse.Namespace) -> None:
    """Publish alone, then beside the saves."""
    folder = make_folder()
    process = start_up(folder)
    try:
        stack = wait_ready(process, folder)
        other = Administrator(stack).make_key(OTHER_TEAM)
        with ServiceClient(base_url=stack.url, api_key=other) as service:
            run = service.create_lora_training_client(BASE_MODEL, rank=options.rank)
            publish(run, "warm", lambda number: number < ALONE)
            alone = publish(run, "alone", lambda number: number < ALONE)
            first = subprocess.Popen(
                [sys.executable, __file__, *sys.argv[1:], "--flood"],
                env=os.environ | {"TINKER_BASE_URL": stack.url, "TINKER_API_KEY": stack.api_key},
                stdout=subprocess.PIPE,
                text=True,
            )
            assert first.stdout is not None
            first.stdout.readline()
            beside = publish(run, "beside", lambda _: first.poll() is None)
            print(first.stdout.read().strip())
        for name, times in (("alone", alone), ("beside", beside)):
            print(
                f"{name:8}{len(times):4} publications: median {statistics.median(times):.3f} s, "
                f"most {max(times):.3f} s"
            )
        print(f"ratio    {statistics.median(beside) / statistics.median(alone):.1f} of the medians")
    finally:
        stop_up(process)
        remove_folder(folder)


def main() -> None:
    """Measure, or be the other team."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--saves", type=int, default=300)
    parser.add_argument("--rank", type=int, default=32)
    parser.add_argument("--runs", type=int, default=4)
    parser.add_argument("--flood", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.flood:
        flood(options)
    else:
        measure(options)


if __name__ == "__main__":
    main()
