"""`training.log` and `training.log_rollouts`: batches, mistakes, and the last words."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, SESSION, Answer, Stub
from tinsmith._training import run_log

METRICS = f"runs/{SESSION}:train:0/metrics"
ROLLOUTS = f"runs/{SESSION}:train:0/rollouts"


@pytest.fixture
def training(stub: Stub, service: tinsmith.ServiceClient) -> tinsmith.TrainingClient:
    for route in (METRICS, ROLLOUTS):
        stub.script(route, *[Answer(body={})] * 50)
    return service.create_lora_training_client(BASE_MODEL)


def test_what_is_logged_goes_in_one_request(stub: Stub, training: tinsmith.TrainingClient) -> None:
    futures = [training.log({"loss": np.float32(0.5), "ok": True}) for _ in range(3)]
    training.log({"loss": math.inf}, step=9)
    last = training.log({"loss": math.nan, "lr": -math.inf})
    for future in [*futures, last]:
        future.result(5)
    rows = [row for call in stub.of(METRICS) for row in call.json()["metrics"]]
    assert len(stub.of(METRICS)) == 1
    assert [row["step"] for row in rows] == [0, 0, 1, 1, 2, 2, 9, 10, 10]
    assert rows[:2] == [
        {"key": "loss", "step": 0, "value": 0.5},
        {"key": "ok", "step": 0, "value": 1.0},
    ]
    assert [row["value"] for row in rows[-3:]] == ["inf", "nan", "-inf"]


def test_rollouts_are_numbered_within_their_group(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.log({"reward": 1.0}, step=4)
    given = [
        tinsmith.Rollout(group=2, index=5, prompt="a", reward=np.float64(0.5)),  # type: ignore[arg-type]
        {"group": 1, "completion_tokens": np.array([1, 2]), "data": {"x": np.arange(2)}},
        {"group": 1, "completion": "b", "reward": None},
    ]
    training.log_rollouts(given).result(5)
    assert stub.of(ROLLOUTS)[0].json()["rollouts"] == [
        {"group": 2, "index": 5, "prompt": "a", "reward": 0.5, "data": {}, "step": 4},
        {"group": 1, "completion_tokens": [1, 2], "data": {"x": [0, 1]}, "index": 0, "step": 4},
        {"group": 1, "completion": "b", "index": 1, "step": 4},
    ]


def test_rollouts_name_what_was_sampled_by_its_ids(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    drawn = tinsmith.SampledSequence(
        stop_reason="stop", tokens_np=np.array([1]), sequence_id="s:sample:0:0:0"
    )
    nameless = tinsmith.SampledSequence(stop_reason="stop", tokens_np=np.array([1]))
    given = [
        {
            "sequences": [drawn, "s:sample:0:1:0"],
            "components": {"format": np.float32(0.5), "length": math.nan},
            "tags": ("sums",),
        },
        tinsmith.Rollout(sequences=[drawn], reward=1.0),
    ]
    training.log_rollouts(given, step=0).result(5)
    first, second = stub.of(ROLLOUTS)[0].json()["rollouts"]
    assert first == {
        "sequences": ["s:sample:0:0:0", "s:sample:0:1:0"],
        "components": {"format": 0.5, "length": "nan"},
        "tags": ["sums"],
        "group": 0,
        "index": 0,
        "step": 0,
    }
    assert second["sequences"] == ["s:sample:0:0:0"]
    assert "tags" not in second
    for wrong, says in (
        ({"sequences": "s:0"}, "sequences must be a list, not text"),
        ({"sequences": [3]}, r"sequences\[0\] must be text"),
        ({"sequences": [nameless]}, "no id"),
        ({"components": [1.0]}, "components must be numbers by name"),
        ({"components": {"format": "good"}}, "components"),
        ({"tags": "sums"}, "tags must be a list"),
    ):
        with pytest.raises((TypeError, ValueError), match=says):
            training.log_rollouts([wrong])


def test_large_logs_go_in_batches(
    stub: Stub, training: tinsmith.TrainingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_log, "MAX_BATCH_BYTES", 100_000)
    training.log({f"m{n}": n for n in range(1100)}).result(5)
    training.log_rollouts({"group": n, "prompt": "x" * 60_000} for n in range(3)).result(5)
    assert [len(call.json()["metrics"]) for call in stub.of(METRICS)] == [500, 500, 100]
    assert [len(call.json()["rollouts"]) for call in stub.of(ROLLOUTS)] == [1, 1, 1]


def test_mistakes_are_named_at_once(stub: Stub, training: tinsmith.TrainingClient) -> None:
    for metrics, step, kind in (
        ({"loss": "high"}, 0, TypeError),
        ({"": 1.0}, 0, ValueError),
        ({"x" * 201: 1.0}, 0, ValueError),
        ({"loss": 1.0}, -1, ValueError),
        ({"loss": 1.0}, 1.5, ValueError),
    ):
        with pytest.raises(kind):
            training.log(metrics, step)  # type: ignore[arg-type]
    for rollout, kind in (({"score": 1.0}, ValueError), ({"data": {"x": object()}}, TypeError)):
        with pytest.raises(kind, match="rollout 0"):
            training.log_rollouts([rollout])
    training.log({}).result(1)
    assert not stub.of(METRICS)


def test_closing_sends_what_is_left(stub: Stub, service: tinsmith.ServiceClient) -> None:
    training = service.create_lora_training_client(BASE_MODEL)
    stub.script(METRICS, Answer(body={}))
    training.result(5)
    training.log({"loss": 1.0})
    service.close().result(5)
    paths = [call.path for call in stub.calls]
    assert paths.index(METRICS) < paths.index(f"sessions/{SESSION}/finish")
    with pytest.raises(tinsmith.SessionClosedError):
        training.log({"loss": 1.0})


def test_a_log_that_fails_does_not_stop_training(
    stub: Stub, service: tinsmith.ServiceClient, caplog: pytest.LogCaptureFixture
) -> None:
    training = service.create_lora_training_client(BASE_MODEL)
    stub.script(METRICS, Answer(404, {"detail": "there is no /api/v1/runs"}))
    with caplog.at_level(logging.WARNING, "tinsmith"):
        failed = training.log({"loss": 1.0})
        assert isinstance(failed.exception(5), tinsmith.NotFoundError)
    assert "could not be recorded" in caplog.text
    assert training.optim_step().result(5).metrics


def test_what_was_not_recorded_as_it_is_is_told(
    stub: Stub, service: tinsmith.ServiceClient, caplog: pytest.LogCaptureFixture
) -> None:
    training = service.create_lora_training_client(BASE_MODEL)
    told = {"recorded": 2, "escaped": [1], "detail": "1 of the rows hold NUL characters"}
    stub.script(ROLLOUTS, Answer(body=told))
    with caplog.at_level(logging.WARNING, "tinsmith"):
        training.log_rollouts([{"completion": "a"}, {"completion": "a\0b"}]).result(5)
    assert "1 of the rows hold NUL characters" in caplog.text


def test_waiting_for_many_futures(stub: Stub, service: tinsmith.ServiceClient) -> None:
    training = service.create_lora_training_client(BASE_MODEL)
    steps = tinsmith.wait_all([training.optim_step() for _ in range(5)], "steps")
    assert [step.metrics for step in steps] == [{"unclipped_grad_norm:mean": 1.0}] * 5
