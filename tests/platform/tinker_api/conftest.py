"""Clients of the wire protocol on the real ASGI application and PostgreSQL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio

from catalog.models import BaseModel
from checkpoints.models import Checkpoint
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint

BASE_MODEL = "test/tiny"
PROTOBUF = "application/x-protobuf"


class Api(httpx.AsyncClient):
    """An HTTP client of the wire protocol that shows replies as Python values."""

    async def call(self, address: str, **body: Any) -> httpx.Response:
        """POST a JSON body to a route."""
        return await self.post(address, json=body)

    async def session(self) -> str:
        """A new session's id."""
        return (await self.call("create_session", tags=[], user_metadata={})).json()["session_id"]

    async def run(self, session_id: str, number: int = 0) -> str:
        """A new training run's id."""
        reply = await self.call("create_model", **create_model_body(session_id, number))
        return reply.json()["model_id"]

    async def sampler(self, session_id: str, number: int = 0) -> str:
        """A new base model sampler's id."""
        reply = await self.call(
            "create_sampling_session",
            session_id=session_id,
            sampling_session_seq_id=number,
            base_model=BASE_MODEL,
        )
        return reply.json()["sampling_session_id"]


def create_model_body(session_id: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    """A `create_model` body as the newest public client sends it."""
    return {
        "session_id": session_id,
        "model_seq_id": number,
        "base_model": BASE_MODEL,
        "lora_config": {
            "rank": 8,
            "train_unembed": True,
            "train_mlp": True,
            "train_attn": True,
        },
        "optimizer_config": {"type": "adamw"},
        "type": "create_model",
    } | changes


async def saved(api: Api, segment: str = "weights", **fields: Any) -> Checkpoint:
    """A checkpoint of a new run of the client's team."""
    return await save_checkpoint(await api.run(await api.session()), segment, **fields)


@pytest.fixture
def base_model(transactional_db: None) -> BaseModel:
    """A base model on offer."""
    return BaseModel.objects.create(
        name=BASE_MODEL,
        source="/nowhere",
        tokenizer_id="/nowhere",
        family="qwen3",
        max_context_length=128,
        hidden_size=192,
        max_lora_rank=16,
    )


def _client(application: Any, key: str) -> Api:
    return Api(
        transport=httpx.ASGITransport(app=application, raise_app_exceptions=True),
        base_url="http://testserver/api/v1/",
        headers={"X-API-Key": key},
    )


@pytest_asyncio.fixture
async def api(application: Any, api_key: str, hand: Hand) -> AsyncIterator[Api]:
    """The team's client, with a worker there."""
    async with _client(application, api_key) as client:
        yield client


@pytest_asyncio.fixture
async def other_api(application: Any, other_key: str) -> AsyncIterator[Api]:
    """Another team's client."""
    async with _client(application, other_key) as client:
        yield client
