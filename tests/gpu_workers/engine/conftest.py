"""Fixtures of the engine's tests: tiny models on disk and loaded, and an engine to talk to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from gpu_workers.engine.base import BaseModel
from tests.gpu_workers.engine.harness import Client, running, tiny_model


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """Tiny products are slower on two threads, and other tests want the other core."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session", params=["qwen3", "llama"])
def family(request: pytest.FixtureRequest) -> str:
    """Every test that uses a model runs with both families."""
    return request.param


@pytest.fixture(scope="session")
def model_directory(family: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's files."""
    directory = tmp_path_factory.mktemp(family)
    tiny_model(family).save_pretrained(directory)
    return directory


@pytest.fixture(scope="session")
def base(model_directory: Path) -> BaseModel:
    """The tiny model as the engine loads it, in float32."""
    return BaseModel.load(model_directory, dtype="float32")


@pytest.fixture
def client(base: BaseModel, tmp_path: Path) -> Iterator[Client]:
    """A running engine with small chunks and micro-batches, so that requests are cut and mixed."""
    with running(base, tmp_path, chunk_tokens=48, micro_batch_tokens=160) as client:
        yield client
