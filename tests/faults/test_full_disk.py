"""A disk that runs full: who waits is told, so is the health check, and all goes on with room."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import tinsmith
from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready

DISK = "700m"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of its own, small enough to be filled."""
    folder = make_folder()
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=711", "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        pytest.skip(f"no file system can be mounted here: {error}")
    if done.returncode:
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)
    remove_folder(folder)


@pytest.fixture
def stack(small_disk: Path) -> Iterator[LiveStack]:
    """A whole platform on it."""
    folder = small_disk / "data"
    folder.mkdir(mode=0o711)
    process = start_up(folder)
    try:
        yield wait_ready(process, folder)
    finally:
        stop_up(process)


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (2**20, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return filler


def healthz(stack: LiveStack) -> tuple[int, str]:
    """What the health check says."""
    answer = httpx.get(f"{stack.url}/healthz", timeout=30)
    return answer.status_code, answer.text


def test_a_full_disk_is_told_of_and_all_goes_on_once_there_is_room(
    small_disk: Path, stack: LiveStack, caplog: pytest.LogCaptureFixture
) -> None:
    told = f"the disk of {stack.folder} is full: make room and try again"
    heard: list[str] = []
    client = tinsmith.ServiceClient(
        base_url=stack.url,
        api_key=stack.api_key,
        on_waiting=lambda waiting: heard.append(waiting.reason),
    )
    training = client.create_lora_training_client("tinsmith/nano-qwen3", rank=16)
    data = [tinsmith.Datum.from_tokens(list(range(1, 40)))]
    first = training.forward_backward(data, "cross_entropy").result(timeout=120)
    training.save_state("before").result(timeout=120)
    assert healthz(stack)[0] == 200

    filler = fill(small_disk)
    begun = time.monotonic()
    saving = training.save_state("full")
    try:
        saving.result(timeout=45)
        failed = ""
    except Exception as error:
        failed = str(error)
    warned = "\n".join(record.getMessage() for record in caplog.records)
    assert told in failed or told in heard or told in warned, (failed, heard, warned)
    print(f"told after {time.monotonic() - begun:.1f} s")
    status, said = healthz(stack)
    assert (status, told in said) == (503, True)
    assert told in stack.log("web")

    filler.unlink()
    assert healthz(stack)[0] == 200
    again = training.forward_backward(data, "cross_entropy").result(timeout=120)
    assert again.loss == first.loss
    training.save_state("after").result(timeout=120)
    listed = client.create_rest_client().list_user_checkpoints().result().checkpoints
    assert {"weights/before", "weights/after"} <= {item.checkpoint_id for item in listed}
    assert told in stack.log("web")
    client.close()
