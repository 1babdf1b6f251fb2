"""A client trains while its server dies: it notices a slower step and nothing else."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready
from tinsmith import AdamParams, Datum, ServiceClient, TrainingClient

pytestmark = pytest.mark.live

STEPS = 12
MODEL = "tinsmith/nano-qwen3"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder."""
    path = make_folder()
    yield path
    remove_folder(path)


def free_port() -> str:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return str(listener.getsockname()[1])


def step(training: TrainingClient, index: int) -> list[float]:
    """One step; its loss and logprobs, which tell any difference in the weights."""
    data = [Datum.from_tokens([(index * 7 + i * i) % 400 for i in range(24)])]
    passed = training.forward_backward(data, "cross_entropy")
    other = Datum.from_tokens([(index * 5 + i) % 400 for i in range(20)])
    preferred = training.forward_backward([data[0], other], "dpo")  # against the base model
    training.optim_step(AdamParams(learning_rate=5e-3)).result(timeout=120)
    output = passed.result(timeout=120)
    measures = [value for _, value in sorted(preferred.result(timeout=120).metrics.items())]
    return [output.loss, *output.loss_fn_outputs[0]["logprobs"].tolist(), *measures]


def test_a_killed_worker_and_a_killed_platform_change_no_number(folder: Path) -> None:
    port = free_port()
    process = start_up(folder, "--port", port)
    try:
        stack = wait_ready(process, folder)
        with ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
            calm = service.create_lora_training_client(MODEL, rank=8, seed=1)
            expected = [step(calm, index) for index in range(STEPS)]

            disturbed = service.create_lora_training_client(MODEL, rank=8, seed=1)
            found = [step(disturbed, index) for index in range(4)]
            kill(worker_of(stack))
            found += [step(disturbed, index) for index in range(4, 8)]
            # everything at once: launcher, web, worker, PostgreSQL, Valkey
            for child in psutil.Process(process.pid).children(recursive=True):
                kill(child)
            kill(psutil.Process(process.pid))
            process.wait()
            (folder / "ready.json").unlink()
            process = start_up(folder, "--port", port)
            found += [step(disturbed, index) for index in range(8, STEPS)]
            wait_ready(process, folder)
            assert found == expected
    finally:
        stop_up(process)


def worker_of(stack: LiveStack) -> psutil.Process:
    """The stack's Celery worker."""
    return next(
        child
        for child in psutil.Process(stack.process.pid).children()
        if "celery" in " ".join(child.cmdline())
    )


def kill(process: psutil.Process) -> None:
    """`kill -9`; gone already is fine."""
    try:
        process.send_signal(signal.SIGKILL)
    except psutil.NoSuchProcess:
        return
