"""Clients of the API on the real ASGI application and PostgreSQL; a worker without an engine."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from tokenizers import Tokenizer

from accounts.models import Team
from catalog.models import BaseModel
from checkpoints.models import Checkpoint
from gpu_workers import nano
from operations import partial
from operations.claims import Claimed
from operations.partial import Progress
from runs.models import Session, TrainingRun
from tests.support.hand import Hand
from tinsmith.wire import wire_pb2

BASE_MODEL = "test/nano"
END = 441
PROTOBUF = "application/x-protobuf"


def tokens_of(text: str) -> list[int]:
    """The nano Qwen3's tokens of a text."""
    path = nano.folder("nano-qwen3") / "tokenizer.json"
    return Tokenizer.from_file(str(path)).encode(text, add_special_tokens=False).ids


def answer(*sequences: list[int], stopped: bool = True, cached: int = 0) -> bytes:
    """A SampleResponse with these sequences; the logprob of each token is minus its place."""
    response = wire_pb2.SampleResponse(prompt_cache_hit_tokens=cached)
    for tokens in sequences:
        response.sequences.append(packed(tokens, stopped))
    return response.SerializeToString()


def packed(tokens: list[int], stopped: bool = True) -> wire_pb2.SampledSequence:
    """One sequence."""
    count = len(tokens)
    return wire_pb2.SampledSequence(
        stop_reason=wire_pb2.STOP_REASON_STOP if stopped else wire_pb2.STOP_REASON_LENGTH,
        tokens=struct.pack(f"<{count}i", *tokens),
        logprobs=struct.pack(f"<{count}f", *(-float(place) for place in range(count))),
    )


def progress(sequence: int, start: int, tokens: list[int]) -> Progress:
    """Announced tokens, with the logprobs that `answer` gives."""
    return Progress(
        sequence, start, tokens, [-float(start + place) for place in range(len(tokens))]
    )


class Worker:
    """Answers every sample, as the test says: `reply` makes a SampleResponse of a body."""

    def __init__(self, hand: Hand) -> None:
        self.hand = hand
        self.bodies: list[dict[str, Any]] = []
        self.targets: list[str] = []
        self.reply: Callable[[dict[str, Any]], bytes | None] = lambda body: answer(
            *[[*tokens_of("Hello you"), END]] * body["num_samples"]
        )
        # announced one after another before the answer
        self.announcements: list[list[Progress]] = []
        self.failure: dict[str, str] | None = None

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            for operation in self.hand.claim():
                await self._do(operation)
            await asyncio.sleep(0.01)

    async def _do(self, operation: Claimed) -> None:
        body = json.loads(operation.body)
        self.bodies.append(body)
        self.targets.append(operation.target)
        for news in self.announcements:
            texts = partial.payloads(f"{operation.target}:{operation.seq}", news)
            partial.announce(self.hand.connection, texts)
            await asyncio.sleep(0.05)
        if self.failure is not None:
            self.hand.finish(operation, **self.failure)
            return
        reply = self.reply(body)
        if reply is not None:
            self.hand.finish(operation, content_type=PROTOBUF, body=reply)


def events(response: httpx.Response) -> list[dict[str, Any]]:
    """The objects of a stream, which must end as streams do."""
    assert response.headers["content-type"].startswith("text/event-stream")
    parts = [part for part in response.text.split("\n\n") if part and not part.startswith(":")]
    assert all(part.startswith("data: ") for part in parts)
    assert parts[-1] == "data: [DONE]"
    return [json.loads(part.removeprefix("data: ")) for part in parts[:-1]]


@pytest.fixture
def base_model(transactional_db: None) -> BaseModel:
    """A base model with a real tokenizer."""
    return BaseModel.objects.create(
        name=BASE_MODEL,
        source="/nowhere",
        tokenizer_id=str(nano.folder("nano-qwen3")),
        family="qwen3",
        max_context_length=128,
    )


@pytest_asyncio.fixture
async def worker(hand: Hand) -> AsyncIterator[Worker]:
    """A worker that answers."""
    made = Worker(hand)
    working = asyncio.create_task(made.run())
    yield made
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


def client_of(application: Any, key: str) -> httpx.AsyncClient:
    """A client with a key."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=application, raise_app_exceptions=True),
        base_url="http://testserver/v1/",
        headers={"Authorization": f"Bearer {key}"} if key else {},
        timeout=30,
    )


@pytest_asyncio.fixture
async def api(application: Any, api_key: str, base_model: BaseModel) -> AsyncIterator[Any]:
    """The team's client."""
    async with client_of(application, api_key) as client:
        yield client


@pytest_asyncio.fixture
async def other_api(application: Any, other_key: str) -> AsyncIterator[Any]:
    """Another team's client."""
    async with client_of(application, other_key) as client:
        yield client


@pytest.fixture
def checkpoint(team: Team, base_model: BaseModel) -> str:
    """The path of the team's sampler checkpoint."""
    session = Session.objects.create(id="11111111-1111-1111-1111-111111111111", team=team)
    run = TrainingRun.objects.create(
        id=f"{session.id}:train:0",
        session=session,
        team=team,
        number=0,
        base_model=base_model,
        rank=8,
        seed=1,
    )
    made = Checkpoint.objects.create(
        run=run, team=team, segment="sampler_weights", name="tuned", key="some/key", size_bytes=5
    )
    return made.path
