"""Models of the sampler's tests: made once, never changed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from tests.gpu_workers.engine.sampler.helpers import Tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny models are slower with more threads, and bits are promised for one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def qwen() -> Tiny:
    return Tiny.of("qwen3")


@pytest.fixture(scope="session")
def llama() -> Tiny:
    return Tiny.of("llama")


@pytest.fixture(params=["qwen3", "llama"])
def tiny(request: pytest.FixtureRequest, qwen: Tiny, llama: Tiny) -> Tiny:
    return qwen if request.param == "qwen3" else llama
