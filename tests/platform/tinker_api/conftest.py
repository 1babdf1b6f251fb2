"""A client on the real ASGI application and PostgreSQL, and a hand that does a worker's part."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import psycopg
import pytest
import pytest_asyncio

from accounts import keys
from accounts.models import Team
from accounts.services import create_api_key, create_team
from catalog.models import BaseModel
from core import database, hub
from operations import claims, finish, workers

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


class Hand:
    """Claims operations as a worker does and answers them with what the test says."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self.connection = connection
        self.worker_id = uuid.uuid4()
        workers.register(
            connection,
            worker_id=self.worker_id,
            pool="default",
            host="test",
            pid=os.getpid(),
            models=[BASE_MODEL],
        )
        workers.set_lingering(connection, worker_id=self.worker_id, lingering=True)

    def claim(self) -> list[claims.Claimed]:
        """What is to be done now."""
        claims.adopt(self.connection, worker_id=self.worker_id, pool="default", limit=10)
        return claims.claim(
            self.connection,
            worker_id=self.worker_id,
            pool="default",
            limit=100,
            max_bytes=2**30,
        )

    def finish(self, operation: claims.Claimed, **outcome: Any) -> None:
        """Finish one operation: `content_type` and `body`, or `error` and `category`."""
        request_id = f"{operation.target}:{operation.seq}"
        applied = {operation.target: operation.seq} if ":train:" in operation.target else {}
        finish.record(
            self.connection,
            worker_id=self.worker_id,
            outcomes=[finish.Outcome(operation.id, request_id, **outcome)],
            applied=applied,
        )
        finish.announce(self.connection, [request_id])

    def answer(self, operation: claims.Claimed, **fields: Any) -> None:
        """Finish one operation with a JSON result."""
        self.finish(operation, content_type="application/json", body=json.dumps(fields).encode())


@pytest.fixture
def base_model(transactional_db: None) -> BaseModel:
    """A base model on offer."""
    return BaseModel.objects.create(
        name=BASE_MODEL,
        source="/nowhere",
        tokenizer_id="/nowhere",
        family="qwen3",
        max_context_length=128,
        max_lora_rank=16,
    )


@pytest.fixture
def team(base_model: BaseModel) -> Team:
    """The team whose key the client sends."""
    return create_team(name="Team")


@pytest.fixture
def api_key(team: Team) -> str:
    """The team's key."""
    return create_api_key(team=team, name="test").text


@pytest.fixture
def other_key(base_model: BaseModel) -> str:
    """Another team's key."""
    return create_api_key(team=create_team(name="Other"), name="test").text


@pytest.fixture
def hand(base_model: BaseModel) -> Iterator[Hand]:
    """A live, lingering worker without an engine."""
    with database.connect() as connection:
        yield Hand(connection)


@pytest_asyncio.fixture
async def application() -> AsyncIterator[Any]:
    """The ASGI application; what its event loop shares is closed afterwards."""
    from config.asgi import application

    keys.forget()
    yield application
    await hub.shutdown()
    await database.shutdown()


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
