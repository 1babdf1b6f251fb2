"""Client CPU for one batch of 1 MB and for 200 samples: our SDK against the public client.

    python tests/benchmarks/client_cpu.py

Both build the same batch, send it to a stub server in another process, and wait for the result, in
turns, each in a Python of its own. So do they with samples asked for all at once, waited for with
one poll or with a poll each. CPU time of the client's process alone counts, all its threads.
The target: at most half of the public client's.
"""

from __future__ import annotations

import importlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY)]

DATUMS, TOKENS = 32, 2048  # 4 + 8 + 4 bytes a token: 1 MB
ROUNDS, BATCHES, WARM_UP = 4, 12, 3
KINDS = {
    "arrays": "1 MB of arrays",
    "lists": "1 MB of lists",
    "one-poll": "200 samples with one poll for all",
    "poll-each": "200 samples with a poll each",
}
SAMPLES = 200


def child(module: str, kind: str) -> None:
    """Print the CPU milliseconds of every batch."""
    client: Any = importlib.import_module(module)
    service = client.ServiceClient()
    if kind in ("arrays", "lists"):
        work = training_work(client, service, kind)
    else:
        work = sampling_work(client, service)
    spent = []
    for index in range(WARM_UP + BATCHES):
        begun = time.process_time()
        work()
        if index >= WARM_UP:
            spent.append(1e3 * (time.process_time() - begun))
    print(json.dumps(spent))
    service.close("success").result()


def training_work(client: Any, service: Any, kind: str) -> Callable[[], None]:
    """One batch built, sent, and its result waited for."""
    import numpy as np

    training = service.create_lora_training_client("stub/tiny", rank=8).result()
    tokens = np.arange(TOKENS) % 1000
    weights = np.ones(TOKENS, np.float32)
    given: tuple[Any, ...] = (tokens.tolist(), tokens, weights)
    if kind == "lists":
        given = (tokens.tolist(), tokens.tolist(), weights.tolist())

    def work() -> None:
        data = [
            client.types.Datum(
                model_input=client.types.ModelInput.from_ints(given[0]),
                loss_fn_inputs={"target_tokens": given[1], "weights": given[2]},
            )
            for _ in range(DATUMS)
        ]
        result = training.forward_backward(data, "cross_entropy").result()
        assert len(result.loss_fn_outputs) == DATUMS

    return work


def sampling_work(client: Any, service: Any) -> Callable[[], None]:
    """Samples asked for all at once, and waited for."""
    sampler = service.create_sampling_client(base_model="stub/tiny")
    sampler = sampler.result() if hasattr(sampler, "result") else sampler
    prompt = client.types.ModelInput.from_ints(list(range(256)))
    params = client.types.SamplingParams(max_tokens=64)

    def work() -> None:
        futures = [sampler.sample(prompt, 1, params) for _ in range(SAMPLES)]
        assert all(len(future.result().sequences[0].tokens) == 64 for future in futures)

    return work


def measure(python: str, module: str, kind: str, url: str) -> list[float]:
    """CPU milliseconds a batch, in a process of its own."""
    environment = os.environ | {
        "TINKER_BASE_URL": url,
        "TINKER_API_KEY": "tml-benchmark",
        "TINKER_TELEMETRY": "0",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [python, __file__, module, kind],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    values: list[float] = json.loads(done.stdout.splitlines()[-1])
    return values


def main() -> None:
    """Start the stub and measure both clients in turns."""
    from tests.contract.clients import OURS, PUBLIC
    from tests.sdk.stub import Stub

    for kind, title in KINDS.items():
        spent: dict[str, list[float]] = {OURS.name: [], PUBLIC.name: []}
        for _ in range(ROUNDS):
            for release in (OURS, PUBLIC):
                stub = Stub()
                stub.config = {"sample_use_retrieve_futures": kind == "one-poll"}
                spent[release.name] += measure(release.python(), release.module, kind, stub.url)
                stub.close()
        ours, public = (statistics.median(spent[name]) for name in (OURS.name, PUBLIC.name))
        print(
            f"{title}: ours {ours:5.1f} ms, public client {public:5.1f} ms of CPU: "
            f"{100 * ours / public:.0f} %"
        )


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(sys.argv[1], sys.argv[2])
    else:
        main()
