"""The examples in the SDK's docstrings, against a live platform."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import pkgutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.conftest import LiveStack
from tests.contract.conftest import BASE_MODEL

OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = ["tinsmith"] + [
    module.name
    for module in pkgutil.walk_packages(tinsmith.__path__, "tinsmith.")
    if not module.name.startswith("tinsmith.wire")
]


@pytest.fixture(scope="module")
def names(
    live_stack: LiveStack, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Any]]:
    """What the examples take for granted: clients, data, something to look at."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TINSMITH_BASE_URL", live_stack.url)
        patch.setenv("TINSMITH_API_KEY", live_stack.api_key)
        patch.setenv("TINSMITH_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        with tinsmith.ServiceClient() as service:
            training = service.create_lora_training_client(BASE_MODEL, rank=8, seed=1)
            data = [tinsmith.Datum.from_tokens([5, 6, 7, 8, 9], weights=[0, 1, 1, 1, 1])]
            training.forward_backward(data, "cross_entropy").result()
            training.optim_step().result()
            rest = service.create_rest_client()
            path = training.save_state("example").result().path
            rest.publish_checkpoint_from_tinker_path(path).result()
            yield {
                **{name: getattr(tinsmith, name) for name in tinsmith.__all__},
                "asyncio": asyncio,
                "data": data,
                "datetime": datetime,
                "prompt": tinsmith.ModelInput.from_ints([5, 6, 7]),
                "rest": rest,
                "sampler": service.create_sampling_client(base_model=BASE_MODEL),
                "service": service,
                "temporary": tmp_path_factory.mktemp("example"),
                "timedelta": timedelta,
                "timezone": timezone,
                "tinsmith": tinsmith,
                "training": training,
            }


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(
    name: str, names: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=OPTIONS)
    assert failed == 0
