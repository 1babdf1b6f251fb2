"""Samplers over HTTP, and listings of runs and checkpoints."""

from __future__ import annotations

from typing import Any

import pytest

from checkpoints.models import Checkpoint
from operations.models import Operation
from runs.models import Sampler, TrainingRun
from tests.platform.tinker_api.conftest import BASE_MODEL, Api
from tests.support.hand import Hand


def sample_body(sampler_id: str, seq: int = 0, **changes: Any) -> dict[str, Any]:
    """An `asample` body as the newest public client sends it."""
    return {
        "num_samples": 2,
        "prompt": {"chunks": [{"tokens": [1, 2, 3], "type": "encoded_text"}]},
        "sampling_params": {"max_tokens": 3, "temperature": 0.0, "top_k": -1, "top_p": 1.0},
        "sampling_session_id": sampler_id,
        "seq_id": seq,
        "prompt_logprobs": False,
        "type": "sample",
    } | changes


async def save_checkpoint(run: str, segment: str = "weights", name: str = "s1") -> str:
    """A checkpoint row as a worker would enter it; returns its address."""
    owner = await TrainingRun.objects.aget(id=run)
    made = await Checkpoint.objects.acreate(
        run=owner,
        team_id=owner.team_id,
        segment=segment,
        name=name,
        key=f"{run}/{segment}/{name}",
        size_bytes=5,
        user_metadata={"a": "b"},
    )
    return made.path


async def test_a_sampler_of_a_base_model(api: Api) -> None:
    session = await api.session()
    sampler = await api.sampler(session, 4)
    assert sampler == await api.sampler(session, 4) == f"{session}:sample:4"
    assert (await api.get(f"samplers/{sampler}")).json() == {
        "sampler_id": sampler,
        "base_model": BASE_MODEL,
    }


@pytest.mark.parametrize("segment", ["weights", "sampler_weights"])
async def test_a_sampler_of_a_checkpoint(api: Api, segment: str) -> None:
    session = await api.session()
    path = await save_checkpoint(await api.run(session), segment)
    response = await api.call(
        "create_sampling_session", session_id=session, sampling_session_seq_id=0, model_path=path
    )
    sampler = response.json()["sampling_session_id"]
    assert (await api.get(f"samplers/{sampler}")).json() == {
        "sampler_id": sampler,
        "base_model": BASE_MODEL,
        "model_path": path,
    }


@pytest.mark.parametrize(
    ("wanted", "status", "message"),
    [
        ({}, 400, "model_path or base_model"),
        ({"base_model": "no/such"}, 400, BASE_MODEL),
        ({"model_path": "tinker://x:train:0/weights/s"}, 404, "there is no checkpoint"),
        ({"model_path": "elsewhere"}, 404, "tinker://"),
    ],
)
async def test_a_sampler_of_nothing(
    api: Api, wanted: dict[str, str], status: int, message: str
) -> None:
    session = await api.session()
    response = await api.call(
        "create_sampling_session", session_id=session, sampling_session_seq_id=0, **wanted
    )
    assert response.status_code == status
    assert message in response.json()["detail"]
    assert await Sampler.objects.acount() == 0


async def test_a_sample_and_its_names(api: Api, hand: Hand) -> None:
    sampler = await api.sampler(await api.session())
    seq = 561751228000000000
    replies = [(await api.call("asample", **sample_body(sampler, seq))).json() for _ in range(2)]
    request_id = f"{sampler}:{seq}"
    assert replies[0] == replies[1]
    assert replies[0] == {
        "request_id": request_id,
        "sample_sequence_ids": [f"{request_id}:0", f"{request_id}:1"],
    }
    (claimed,) = hand.claim()
    assert (claimed.target, claimed.seq, claimed.base_model) == (sampler, seq, BASE_MODEL)
    hand.finish(claimed, content_type="application/x-protobuf", body=b"\x0a\x00")
    response = await api.post(
        "retrieve_future",
        json={"request_id": request_id},
        headers={"Accept": "application/x-protobuf"},
    )
    assert response.content == b"\x0a\x00"


@pytest.mark.parametrize(
    ("num_samples", "names"), [(None, 1), (3, 3), (0, 0), (-1, 0), ("x", 0), (10**12, 0)]
)
async def test_only_possible_samples_are_named(api: Api, num_samples: Any, names: int) -> None:
    sampler = await api.sampler(await api.session())
    body = sample_body(sampler, num_samples=num_samples)
    response = await api.call("asample", **body)
    assert len(response.json()["sample_sequence_ids"]) == names


async def test_other_teams_samplers_are_not_found(api: Api, other_api: Api) -> None:
    session = await api.session()
    sampler = await api.sampler(session)
    path = await save_checkpoint(await api.run(session))
    before = await Operation.objects.acount()
    own = await other_api.session()
    responses = [
        await other_api.call("asample", **sample_body(sampler)),
        await other_api.get(f"samplers/{sampler}"),
        await other_api.call(
            "create_sampling_session",
            session_id=session,
            sampling_session_seq_id=1,
            base_model=BASE_MODEL,
        ),
        await other_api.call(
            "create_sampling_session", session_id=own, sampling_session_seq_id=1, model_path=path
        ),
        await other_api.call("load_weights", session_id=own, model_seq_id=0, path=path),
        await other_api.call("weights_info", tinker_path=path),
    ]
    assert [response.status_code for response in responses] == [404] * len(responses)
    assert await Operation.objects.acount() == before
    assert await Sampler.objects.acount() == 1


async def test_a_run_from_a_checkpoint(api: Api) -> None:
    session = await api.session()
    path = await save_checkpoint(await api.run(session))
    body = {"session_id": session, "model_seq_id": 1, "path": path, "optimizer": True}
    replies = [(await api.call("load_weights", **body)).json() for _ in range(2)]
    run = f"{session}:train:1"
    assert replies[0] == replies[1] == {"request_id": f"{run}:0", "model_id": run}
    info = (await api.call("get_info", model_id=run)).json()
    assert (info["lora_rank"], info["model_name"]) == (8, BASE_MODEL)


async def test_listings(api: Api, other_api: Api) -> None:
    session = await api.session()
    runs = [await api.run(session, number) for number in range(3)]
    path = await save_checkpoint(runs[0])
    sampler_path = await save_checkpoint(runs[0], "sampler_weights", "w1")

    page = (await api.get("training_runs", params={"limit": 2, "offset": 1})).json()
    assert page["cursor"] == {"offset": 1, "limit": 2, "total_count": 3}
    assert [run["training_run_id"] for run in page["training_runs"]] == [runs[1], runs[0]]
    shown = (await api.get(f"training_runs/{runs[0]}")).json()
    assert shown["last_checkpoint"]["tinker_path"] == path
    assert shown["last_sampler_checkpoint"]["tinker_path"] == sampler_path
    assert shown["model_owner"] == "Team"

    saved = (await api.get(f"training_runs/{runs[0]}/checkpoints")).json()["checkpoints"]
    assert [(item["checkpoint_id"], item["checkpoint_type"]) for item in saved] == [
        ("sampler_weights/w1", "sampler"),
        ("weights/s1", "training"),
    ]
    assert saved[0]["user_metadata"] == {"a": "b"}
    listed = (await api.get("checkpoints", params={"limit": 1})).json()
    assert listed["cursor"]["total_count"] == 2
    assert (await other_api.get("training_runs")).json()["training_runs"] == []
    assert (await other_api.get("checkpoints")).json()["checkpoints"] == []

    info = (await api.call("weights_info", tinker_path=path)).json()
    assert (info["base_model"], info["lora_rank"], info["is_lora"]) == (BASE_MODEL, 8, True)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "offset=-1", "limit=1001", "offset=²"])
async def test_pages_that_cannot_be(api: Api, query: str) -> None:
    assert (await api.get(f"training_runs?{query}")).status_code == 400
