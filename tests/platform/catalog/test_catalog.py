"""The catalog: models are read from their own configuration, offered, hidden."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse

from accounts.models import User
from catalog import services
from catalog.models import BaseModel
from catalog.sources import BadSource
from core import database

pytestmark = pytest.mark.django_db(transaction=True)


def make_source(folder: Path, **config: Any) -> str:
    """A folder that looks like a model's."""
    folder.mkdir(exist_ok=True)
    text = json.dumps({"model_type": "qwen3", "max_position_embeddings": 512, **config})
    (folder / "config.json").write_text(text)
    (folder / "model.safetensors").touch()
    return str(folder)


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A servable model's folder."""
    return make_source(tmp_path / "tiny")


def test_limits_come_from_the_models_own_configuration(source: str) -> None:
    model, is_new = services.register(name="acme/tiny", source=source)
    assert is_new
    assert (model.family, model.max_context_length, model.max_lora_rank) == ("qwen3", 512, 128)
    assert model.source == model.tokenizer_id == source
    assert model.hidden_size is None
    assert (model.pool, model.trainable, model.sampleable) == ("default", True, True)


def test_registering_again_keeps_what_an_administrator_has_set(source: str, tmp_path: Path) -> None:
    services.register(name="acme/tiny", source=source)
    BaseModel.objects.update(enabled=False, pool="big", max_context_length=64)
    assert services.register(name="acme/tiny", source=source)[1] is False
    model = BaseModel.objects.get()
    assert (model.enabled, model.pool, model.max_context_length) == (False, "big", 64)
    moved = make_source(tmp_path / "moved", max_position_embeddings=1024, hidden_size=64)
    services.register(name="acme/tiny", source=moved)
    model.refresh_from_db()
    assert model.hidden_size == 64
    BaseModel.objects.update(hidden_size=None)  # as rows are that were there before the column
    assert services.register(name="acme/tiny", source=moved)[1] is False
    model.refresh_from_db()
    assert model.hidden_size == 64
    assert (model.source, model.enabled, model.max_context_length) == (moved, False, 1024)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2'; supported are .*llama, .*qwen3"),
        ({"model_type": "qwen3_moe", "num_experts": 8}, "mixture of experts, which is not support"),
        ({"model_type": "mistral3", "text_config": {}}, "reads more than text"),
        ({"quantization_config": {"bits": 4}}, "its weights are quantised"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope type 'dynamic'; supported"),
        ({"rope_parameters": {"rope_type": "longrope"}}, "rope type 'longrope'; supported"),
        ({"max_position_embeddings": None}, "no max_position_embeddings"),
    ],
)
def test_what_the_engine_cannot_serve_is_refused(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    with pytest.raises(BadSource, match=message):
        services.register(name="acme/odd", source=make_source(tmp_path / "odd", **config))
    assert not BaseModel.objects.exists()


@pytest.mark.parametrize("family", ["qwen2", "mistral", "ministral3", "olmo2", "smollm3"])
def test_families_whose_layers_are_like_llamas_are_offered(tmp_path: Path, family: str) -> None:
    source = make_source(tmp_path / "model", model_type=family, sliding_window=4096)
    assert services.register(name="acme/model", source=source)[0].family == family


def test_sources_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name in (str(tmp_path / "nowhere"), str(tmp_path / "empty"), "nonsense"):
        with pytest.raises(BadSource):
            services.register(name="acme/odd", source=name)
    with pytest.raises(BadSource, match="at most one /"):
        services.register(name="a/b/c", source=make_source(tmp_path / "fine"))
    assert not BaseModel.objects.exists()


async def test_users_are_offered_what_is_enabled(source: str, tmp_path: Path) -> None:
    register = sync_to_async(services.register)
    await register(name="acme/tiny", source=source)
    await register(name="acme/hidden", source=make_source(tmp_path / "hidden"))
    await BaseModel.objects.filter(name="acme/hidden").aupdate(enabled=False)
    try:
        assert [model.name for model in await services.offered_models()] == ["acme/tiny"]
        found = await services.find_offered("acme/tiny")
        assert found is not None
        assert (found.tokenizer_id, found.max_lora_rank) == (source, 128)
        assert await services.find_offered("acme/hidden") is None
        assert await services.find_offered("acme/other") is None
    finally:
        await database.shutdown()


def test_the_database_holds_the_limits(source: str) -> None:
    services.register(name="acme/tiny", source=source)
    for wrong in (
        {"max_lora_rank": 0},
        {"max_lora_rank": 129},
        {"max_context_length": 0},
        {"name": "a b"},
        {"pool": "Big"},
        {"source": ""},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            BaseModel.objects.update(**wrong)


def test_the_admin_fills_in_what_is_left_empty(source: str) -> None:
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    form = {"name": "acme/tiny", "source": source, "pool": "default", "max_lora_rank": 64}
    address = reverse("admin:catalog_basemodel_add")
    too_long = client.post(address, {**form, "enabled": "on", "max_context_length": 4096})
    assert b"limit is 512" in too_long.content
    assert not BaseModel.objects.exists()
    assert client.post(address, {**form, "enabled": "on"}).status_code == 302
    model = BaseModel.objects.get()
    assert (model.family, model.max_context_length, model.max_lora_rank) == ("qwen3", 512, 64)
    answer = client.post(address, {**form, "name": "x", "source": "?"})
    assert b"neither a folder nor a hub id" in answer.content


def test_the_command_registers(source: str, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("register_model", "acme/tiny", source, pool="big")
    assert (
        "acme/tiny (qwen3, context 512, LoRA rank up to 128, pool big)" in capsys.readouterr().out
    )
    make_source(Path(source), model_type="gpt2")
    with pytest.raises(CommandError, match="supported are"):
        call_command("register_model", "acme/other", source)
    assert BaseModel.objects.count() == 1
