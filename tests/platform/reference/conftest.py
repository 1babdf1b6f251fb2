"""Two teams that own one thing of each kind, and a worker that answers whatever is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from django.db import connection

from accounts import keys
from accounts.services import create_api_key, create_team
from catalog.models import BaseModel
from core import database, hub
from gpu_workers import nano
from operations.claims import Claimed
from tests.platform.openai_api.conftest import answer
from tests.platform.tinker_api.conftest import BASE_MODEL as BASE_MODEL
from tests.platform.tinker_api.conftest import Api, create_model_body
from tests.support.doors import FETCHED
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint
from tinsmith.wire import wire_pb2

PROTOBUF = "application/x-protobuf"


@dataclass
class Estate:
    """What a team owns, by the names of fields and of paths' parts."""

    api: Api
    team_id: int
    marker: str
    names: dict[str, list[Any]]


class Worker:
    """Answers every operation: samples with tokens, everything else in a few words."""

    def __init__(self, hand: Hand) -> None:
        self._hand = hand

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            self._hand.renew()
            for operation in self._hand.claim():
                self._do(operation)
            await asyncio.sleep(0.01)

    def _do(self, operation: Claimed) -> None:
        if operation.kind == "sample":
            self._hand.finish(operation, content_type=PROTOBUF, body=self._sample(operation))
        elif operation.kind == "forward_backward":
            output = wire_pb2.ForwardBackwardOutput(loss_fn_output_type="ArrayRecord")
            self._hand.finish(operation, content_type=PROTOBUF, body=output.SerializeToString())
        elif operation.kind == "optim_step":
            self._hand.answer(operation, type="optim_step", metrics={})
        else:
            self._hand.finish(operation, error="this worker is a stub", category="user")

    def _sample(self, operation: Claimed) -> bytes:
        try:
            count = int(json.loads(operation.body)["num_samples"])
        except (ValueError, TypeError, KeyError):
            count = 1
        return answer(*[[65, 441]] * min(max(count, 1), 128))


@pytest.fixture
def base_model(transactional_db: None) -> BaseModel:
    """A base model on offer, with a real tokenizer."""
    return BaseModel.objects.create(
        name=BASE_MODEL,
        source="/nowhere",
        tokenizer_id=str(nano.folder("nano-qwen3")),
        family="qwen3",
        max_context_length=128,
        max_lora_rank=16,
    )


@pytest.fixture
def team_keys(base_model: BaseModel) -> dict[str, tuple[int, str]]:
    """Two teams' (id, key), by their names."""
    made = {}
    for name in ("Ours", "Theirs"):
        team = create_team(name=name)
        made[name] = team.pk, create_api_key(team=team, name="test").text
    return made


@asynccontextmanager
async def estates(
    team_keys: dict[str, tuple[int, str]], hand: Hand
) -> AsyncIterator[tuple[Estate, Estate]]:
    """Both teams' things on the real ASGI application, with a worker at work."""
    from config.asgi import application

    keys.forget()
    working = asyncio.create_task(Worker(hand).run())
    try:
        async with (
            _client(application, team_keys["Ours"][1]) as ours,
            _client(application, team_keys["Theirs"][1]) as theirs,
        ):
            yield (
                await _furnish(ours, team_keys["Ours"][0], "of-ours"),
                await _furnish(theirs, team_keys["Theirs"][0], "of-theirs"),
            )
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        await hub.shutdown()
        await database.shutdown()


def _client(application: Any, key: str) -> Api:
    return Api(
        transport=httpx.ASGITransport(app=application, raise_app_exceptions=True),
        base_url="http://testserver/api/v1/",
        headers={"X-API-Key": key, "Authorization": f"Bearer {key}"},
        timeout=30,
    )


async def _furnish(api: Api, team_id: int, marker: str) -> Estate:
    """Make one thing of each kind; `marker` is in whatever only the team may see."""
    tagged = {"user_metadata": {"note": marker}, "display_name": marker}
    session = (await api.call("create_session", **tagged)).json()["session_id"]
    created = await api.call("create_model", **create_model_body(session) | tagged_run(marker))
    run, made = created.json()["model_id"], created.json()["request_id"]
    sampler = await api.sampler(session)
    step = await api.call("optim_step", model_id=run, seq_id=1, adam_params={})
    sample = await api.call("asample", sampling_session_id=sampler, seq_id=0, num_samples=1)
    paths = [
        (await save_checkpoint(run, segment, "s1", user_metadata={"note": marker})).path
        for segment in ("weights", "sampler_weights", "external_weights")
    ]
    metrics = [{"key": marker, "step": 1, "value": 0.5}]
    assert (await api.call(f"runs/{run}/metrics", metrics=metrics)).status_code == 200
    rollouts = [
        {"step": 1, "prompt": marker, "completion": marker, "reward": 1.0, "data": {"a": 1}}
    ]
    assert (await api.call(f"runs/{run}/rollouts", rollouts=rollouts)).status_code == 200
    tickets = [made, step.json()["request_id"], sample.json()["request_id"]]
    for ticket in tickets:
        reply = await api.call("retrieve_future", request_id=ticket)
        assert reply.status_code == 200, reply.text
    file = "adapter_config.json"
    links = await api.get(f"training_runs/{run}/checkpoints/weights/s1/external_weights_urls")
    return Estate(
        api,
        team_id,
        marker,
        {
            "session_id": [session],
            "model_id": [run],
            "run_id": [run],
            "sampler_id": [sampler],
            "forward_backward": [forward_backward_body(run)],
            "sampling_session_id": [sampler],
            "request_id": tickets,
            "base_model": [BASE_MODEL],
            "model_path": paths[1:2],
            "tinker_path": paths,
            "source_path": paths,
            "path": [*paths, "fresh", "s1"],
            "model": [BASE_MODEL, paths[1]],
            "segment": ["weights", "sampler_weights", "external_weights"],
            "name": ["s1", BASE_MODEL, paths[1], file],
            "signed": [links.json()["urls"][file].split("/")[-2]],
            "prompt": ["Hello"],
            "messages": [[{"role": "user", "content": "Hello"}]],
            "starting_on": ["2026-01-31T12:00:00Z"],
            "ending_before": ["2026-01-31T14:00:00Z"],
        },
    )


def forward_backward_body(run: str) -> bytes:
    """A batch without data, which the web process takes and workers refuse."""
    request = wire_pb2.ForwardBackwardRequest(model_id=run, seq_id=2, loss_fn="cross_entropy")
    return request.SerializeToString()


def tagged_run(marker: str) -> dict[str, Any]:
    """What tells a team's run."""
    return {"user_metadata": {"note": marker}}


def rows_of(team_id: int) -> dict[str, str]:
    """A digest of the rows in every table that has teams, but for when results were fetched."""
    fetched = "".join(f" - '{column}'" for column in FETCHED)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.columns "
            "WHERE table_schema = 'public' AND column_name = 'team_id' ORDER BY table_name"
        )
        digests = {}
        for (table,) in cursor.fetchall():
            cursor.execute(
                "SELECT count(*), md5(coalesce(string_agg(r::text, ' ' ORDER BY r::text), '')) "
                f"FROM (SELECT to_jsonb(t){fetched} AS r "
                f'FROM "{table}" t WHERE team_id = %s) plain',
                [team_id],
            )
            digests[table] = str(cursor.fetchone())
    return digests
