"""Tokenizers that come from the server."""

from __future__ import annotations

from pathlib import Path

import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, Answer, Stub
from tinsmith._clients import tokenizers

NANO = Path(__file__).resolve().parents[2] / "gpu_workers" / "nano" / "nano-qwen3"
FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, and nothing loaded before."""
    monkeypatch.setenv("TINSMITH_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(tokenizers, "_loaded", {})
    return tmp_path / "tokenizers"


def nano_files() -> dict[str, str]:
    return {name: (NANO / name).read_text() for name in FILES if (NANO / name).exists()}


def test_the_servers_tokenizer_is_loaded_once(
    stub: Stub, service: tinsmith.ServiceClient, cache: Path
) -> None:
    stub.tokenizer_files = nano_files()
    training = service.create_lora_training_client(BASE_MODEL)
    tokenizer = training.get_tokenizer()
    assert tokenizer.decode(tokenizer.encode("Hello there.")) == "Hello there."
    assert service.create_sampling_client(base_model=BASE_MODEL).get_tokenizer() is tokenizer
    assert len(stub.of(f"models/{BASE_MODEL}/tokenizer")) == 1
    (folder,) = cache.iterdir()
    assert {path.name for path in folder.iterdir()} == set(nano_files())


def test_files_are_kept_by_their_contents(cache: Path) -> None:
    first = tokenizers.store({"tokenizer.json": "{}"}, cache)
    assert tokenizers.store({"tokenizer.json": "{}"}, cache) == first
    assert tokenizers.store({"tokenizer.json": "{ }"}, cache) != first
    assert len(list(cache.iterdir())) == 2


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/x", "tokenization_own.py", "a/b.json", ".."]
)
def test_files_of_other_names_are_refused_and_nothing_is_written(cache: Path, name: str) -> None:
    with pytest.raises(tinsmith.APIResponseValidationError, match="belong to no tokenizer"):
        tokenizers.store({"tokenizer.json": "{}", name: "x"}, cache)
    assert not cache.exists()
    with pytest.raises(tinsmith.APIResponseValidationError, match=r"no tokenizer\.json"):
        tokenizers.store({"config.json": "{}"}, cache)


def test_an_unknown_model_is_the_servers_to_name(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    stub.script(f"models/{BASE_MODEL}/tokenizer", Answer(404, {"detail": "there is no base model"}))
    with pytest.raises(tinsmith.NotFoundError, match="no base model"):
        service.create_sampling_client(base_model=BASE_MODEL).get_tokenizer()


def test_a_server_without_the_route_falls_back_to_the_name(
    stub: Stub, service: tinsmith.ServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "open_tokenizer", str)
    stub.script(f"models/{BASE_MODEL}/tokenizer", Answer(404, {"detail": "Not Found"}))
    sampler = service.create_sampling_client(base_model=BASE_MODEL)
    assert sampler.get_tokenizer() == BASE_MODEL
    assert tokenizers._hub_name("org/model/variant:peft") == "org/model"
