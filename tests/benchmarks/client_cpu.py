"""Client CPU for one batch of 1 MB: our SDK against the public client, in one run.

    python tests/benchmarks/client_cpu.py

Both build the same batch, send it to a stub server in another process, and wait for the result, in
turns, each in a Python of its own. CPU time of the client's process alone counts, all its threads.
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
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY)]

DATUMS, TOKENS = 32, 2048  # 4 + 8 + 4 bytes a token: 1 MB
ROUNDS, BATCHES, WARM_UP = 4, 12, 3
KINDS = ("arrays", "lists")


def child(module: str, kind: str) -> None:
    """Print the CPU milliseconds of every batch."""
    import numpy as np

    client: Any = importlib.import_module(module)
    service = client.ServiceClient()
    training = service.create_lora_training_client("stub/tiny", rank=8).result()
    tokens = np.arange(TOKENS) % 1000
    weights = np.ones(TOKENS, np.float32)
    given: tuple[Any, ...] = (tokens.tolist(), tokens, weights)
    if kind == "lists":
        given = (tokens.tolist(), tokens.tolist(), weights.tolist())
    spent = []
    for index in range(WARM_UP + BATCHES):
        begun = time.process_time()
        data = [
            client.types.Datum(
                model_input=client.types.ModelInput.from_ints(given[0]),
                loss_fn_inputs={"target_tokens": given[1], "weights": given[2]},
            )
            for _ in range(DATUMS)
        ]
        result = training.forward_backward(data, "cross_entropy").result()
        assert len(result.loss_fn_outputs) == DATUMS
        if index >= WARM_UP:
            spent.append(1e3 * (time.process_time() - begun))
    print(json.dumps(spent))
    service.close("success").result()


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

    stub = Stub()
    stub.config = {"parallel_fwdbwd_chunks": True}
    for kind in KINDS:
        spent: dict[str, list[float]] = {OURS.name: [], PUBLIC.name: []}
        for _ in range(ROUNDS):
            for release in (OURS, PUBLIC):
                spent[release.name] += measure(release.python(), release.module, kind, stub.url)
        ours, public = (statistics.median(spent[name]) for name in (OURS.name, PUBLIC.name))
        print(
            f"1 MB of {kind}: ours {ours:5.1f} ms, public client {public:5.1f} ms of CPU: "
            f"{100 * ours / public:.0f} %"
        )
    stub.close()


if __name__ == "__main__":
    if len(sys.argv) == 3:
        child(sys.argv[1], sys.argv[2])
    else:
        main()
