"""The training client against a server that can be told to fail."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import Any

import numpy as np
import pytest
import torch

import tinsmith
from tests.sdk.stub import BASE_MODEL, SESSION, Answer, Stub
from tests.support.waiting import never
from tinsmith import types, wire
from tinsmith.losses import LOSSES
from tinsmith.losses.measures import measure

CLIPS = {"clip_low_threshold": 0.95, "clip_high_threshold": 1.05}
RUN = f"{SESSION}:train:0"
DATA = [types.Datum.from_tokens([1, 2, 3], [2, 3, 4], [0.0, 1.0, 1.0])]


@pytest.fixture
def training(service: tinsmith.ServiceClient) -> tinsmith.TrainingClient:
    return service.create_lora_training_client(BASE_MODEL, rank=4)


def seqs(stub: Stub) -> list[int]:
    """Sequence numbers in the order of arrival, re-sends included."""
    found = []
    for call in stub.calls:
        if call.path == "forward_backward":
            found.append(wire.ForwardBackwardRequest.FromString(call.body).seq_id)
        elif call.method == "POST" and b'"seq_id"' in call.body:
            found.append(call.json()["seq_id"])
    return found


def test_a_run_is_created_as_the_protocol_says(stub: Stub, service: tinsmith.ServiceClient) -> None:
    run = service.create_lora_training_client(BASE_MODEL, seed=3, user_metadata={"a": "b"})
    assert run.model_id == RUN
    assert run.get_info().model_data.model_name == BASE_MODEL
    assert stub.of("create_model")[0].json() == {
        "session_id": SESSION,
        "model_seq_id": 0,
        "base_model": BASE_MODEL,
        "user_metadata": {"a": "b"},
        "lora_config": {
            "rank": 32,
            "seed": 3,
            "train_unembed": True,
            "train_mlp": True,
            "train_attn": True,
        },
        "optimizer_config": {"type": "adamw"},
        "type": "create_model",
    }
    headers = stub.of("create_model")[0].headers
    assert headers["x-api-key"] == "tml-test"
    assert headers["user-agent"].startswith("tinsmith/")


def test_a_step_is_handed_in_before_anything_is_waited_for(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    stub.results[f"{RUN}:1"] = Answer(408)  # the pass never ends
    passed = training.forward_backward(DATA, "cross_entropy")
    stepped = training.optim_step(types.AdamParams(learning_rate=0.5))
    assert stepped.result(5).metrics == {"unclipped_grad_norm:mean": 1.0}
    assert not passed.done()
    assert stub.order == [(1, "forward_backward"), (2, "optim_step")]
    assert stub.of("optim_step")[0].json() == {
        "model_id": RUN,
        "seq_id": 2,
        "adam_params": {
            "learning_rate": 0.5,
            "beta1": 0.9,
            "beta2": 0.95,
            "eps": 1e-12,
            "weight_decay": 0.0,
            "grad_clip_norm": 0.0,
        },
        "type": "optim_step",
    }


def test_the_result_holds_logprobs_and_loss(training: tinsmith.TrainingClient) -> None:
    result = training.forward_backward(DATA, "cross_entropy").result(5)
    assert result.loss_fn_outputs[0]["logprobs"].tolist() == [-2, -3, -4]
    assert result.loss == 7.0


def test_the_double_await_idiom(training: tinsmith.TrainingClient) -> None:
    async def loop() -> tuple[float, Any]:
        passed = await training.forward_backward_async(DATA, "cross_entropy")
        stepped = await training.optim_step_async(types.AdamParams())
        return (await passed).loss, (await stepped).metrics

    assert asyncio.run(loop()) == (7.0, {"unclipped_grad_norm:mean": 1.0})


def test_requests_of_one_thread_keep_their_order(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    futures: list[tinsmith.APIFuture[Any]] = []
    for index in range(20):
        futures.append(training.forward_backward(DATA, "cross_entropy"))
        futures.append(training.optim_step())
        if index % 5 == 0:
            futures.append(training.save_state(f"s{index}"))
    for future in futures:
        future.result(10)
    arrived = seqs(stub)
    assert arrived == sorted(arrived) == list(range(1, len(futures) + 1))


def test_threads_may_share_a_client(stub: Stub, training: tinsmith.TrainingClient) -> None:
    def work() -> None:
        for _ in range(10):
            training.forward_backward(DATA, "cross_entropy").result(10)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(seq for seq, _ in stub.order) == list(range(1, 41))


def test_a_large_batch_travels_in_chunks_whose_first_comes_last(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    data = [types.Datum.from_tokens([1], [target], [1.0]) for target in range(2500)]
    passed = training.forward_backward(data, "cross_entropy")
    stepped = training.optim_step()
    result = passed.result(30)
    stepped.result(30)
    assert [out["logprobs"].tolist()[0] for out in result.loss_fn_outputs] == list(
        range(0, -2500, -1)
    )
    assert result.loss == sum(range(2500))
    assert sorted(stub.order[:2]) == [(2, "forward_backward"), (3, "forward_backward")]
    assert stub.order[2:] == [(1, "forward_backward"), (4, "optim_step")]


def test_the_server_chooses_the_size_of_chunks(stub: Stub, service: tinsmith.ServiceClient) -> None:
    # before the first request, which asks for it
    stub.config = {"fwdbwd_max_chunk_len": 2, "parallel_fwdbwd_chunks": False, "new_flag": 1}
    training = service.create_lora_training_client(BASE_MODEL, rank=4)
    training.forward(DATA * 5, "cross_entropy").result(5)
    # one after the other, and the first last here too: what is refused must not have begun
    assert [seq for seq, _ in stub.order] == [2, 3, 1]
    assert all(
        wire.ForwardBackwardRequest.FromString(call.body).forward_only
        for call in stub.of("forward_backward")
    )


def test_a_lost_reply_is_asked_for_again_and_done_once(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.result(5)
    stub.script("optim_step", Answer(drop=True, act=True), Answer(503, {"detail": "busy"}))
    stub.script("retrieve_future", Answer(drop=True), Answer(502), Answer(429))
    assert training.optim_step().result(5).metrics == {"unclipped_grad_norm:mean": 1.0}
    sent = stub.of("optim_step")
    assert len(sent) == 3
    assert len({call.body for call in sent}) == 1
    assert stub.order == [(1, "optim_step")]


def test_a_request_lost_for_good_ends_the_run_and_says_what_to_do(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.result(5)
    stub.script("optim_step", *[Answer(503, {"detail": "down"})] * 200)
    lost = training.optim_step()
    after = training.forward_backward(DATA, "cross_entropy")
    with pytest.raises(tinsmith.InternalServerError, match="down"):
        lost.result(10)
    with pytest.raises(tinsmith.RunBrokenError, match="with_optimizer"):
        after.result(10)
    with pytest.raises(tinsmith.RunBrokenError):
        training.save_state("x").result(10)
    assert stub.order == []


def test_a_refused_request_leaves_the_run_usable(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.result(5)
    stub.script("forward_backward", Answer(413, {"detail": "above the limit of 1 byte"}))
    refused = training.forward_backward(DATA, "cross_entropy")
    with pytest.raises(tinsmith.RequestTooLargeError, match=r"above the limit.*fewer of them"):
        refused.result(5)
    training.optim_step().result(5)
    assert stub.order == [(2, "optim_step")]  # the server counts what it refuses


def test_a_failure_of_the_request_says_whose_fault_it_was(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    failure = {"error": "token 900 is out of range", "category": "user"}
    stub.results[f"{RUN}:1"] = Answer(body=failure)
    stub.results[f"{RUN}:2"] = Answer(body={"error": "out of memory", "category": "odd"})
    first = training.forward_backward(DATA, "cross_entropy")
    second = training.optim_step()
    with pytest.raises(tinsmith.RequestFailedError, match="900") as caught:
        first.result(5)
    assert (caught.value.category, caught.value.request_id) == ("user", f"{RUN}:1")
    error = second.exception(5)
    assert isinstance(error, tinsmith.RequestFailedError)
    assert error.category == "unknown"
    assert training.forward(DATA, "cross_entropy").result(5).loss == 7.0


def test_what_cannot_be_sent_is_refused_at_once(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    with pytest.raises(ValueError, match="at least one datum"):
        training.forward_backward([], "cross_entropy")
    bad = types.Datum(types.ModelInput.from_ints([2**40]), {})
    with pytest.raises(ValueError, match="datum 1 cannot be sent: a token id"):
        training.forward_backward([*DATA, bad], "cross_entropy")
    with pytest.raises(ValueError, match="not both"):
        training.optim_step(types.AdamParams(), adam_params=types.AdamParams())
    training.optim_step().result(5)
    assert stub.order == [(1, "optim_step")]


def test_a_run_that_cannot_be_made_says_so_at_first_use(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    stub.script("create_model", Answer(400, {"detail": "unknown model; allowed: a, b"}))
    run = service.create_lora_training_client("nope")
    step = run.optim_step()
    for wait in (run.result, step.result, run.get_info, lambda: run.model_id):
        with pytest.raises(tinsmith.BadRequestError, match="allowed: a, b"):
            wait()
    assert len(stub.of("create_model")) == 1
    with pytest.raises(ValueError, match="at least one of"):
        service.create_lora_training_client(
            BASE_MODEL, train_attn=False, train_mlp=False, train_unembed=False
        )


def test_saving_and_loading_bodies(stub: Stub, training: tinsmith.TrainingClient) -> None:
    saved = training.save_state("s1", ttl_seconds=7200, user_metadata={"a": "b"}).result(5)
    assert saved.path == f"tinker://{RUN}/weights/s1"
    training.load_state(saved.path).result(5)
    training.load_state_with_optimizer(saved.path, "token").result(5)
    exported = training.save_weights_for_sampler("w").result(5)
    assert exported.path == f"tinker://{RUN}/sampler_weights/w"
    assert stub.of("save_weights")[0].json() == {
        "model_id": RUN,
        "seq_id": 1,
        "path": "s1",
        "ttl_seconds": 7200,
        "overwrite": False,
        "user_metadata": {"a": "b"},
        "type": "save_weights",
    }
    loads = [call.json() for call in stub.of("load_weights")]
    assert [load["optimizer"] for load in loads] == [False, True]
    assert "weights_access_token" not in loads[0]
    assert loads[1]["weights_access_token"] == "token"
    assert stub.of("save_weights_for_sampler")[0].json()["kind"] == "snapshot"


def test_a_run_from_a_checkpoint_computes_its_id_as_the_server_does(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    service.create_lora_training_client(BASE_MODEL)
    run = service.create_training_client_from_state_with_optimizer("tinker://x/weights/y")
    assert run.model_id == f"{SESSION}:train:1"
    body = stub.of("load_weights")[0].json()
    assert body == {
        "session_id": SESSION,
        "model_seq_id": 1,
        "path": "tinker://x/weights/y",
        "optimizer": True,
        "type": "load_weights",
    }
    run.optim_step().result(5)
    assert stub.order == [(1, "optim_step")]


def test_a_custom_loss_goes_forward_and_back_with_nothing_between(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    seen: list[list[float]] = []

    def squares(
        data: list[types.Datum], logprobs: list[torch.Tensor]
    ) -> tuple[torch.Tensor, dict[str, float]]:
        seen.extend(datum.loss_fn_inputs["advantages"].tolist() for datum in data)
        return sum((lp**2).sum() for lp in logprobs), {"mine": 5}

    data = [
        types.Datum(
            types.ModelInput.from_ints([1, 2]),
            {"target_tokens": [3, 4], "advantages": [1.0, 2.0]},
        )
    ]
    passed = training.forward_backward_custom(data, squares)
    stepped = training.optim_step()
    result = passed.result(10)
    stepped.result(10)
    assert seen == [[1.0, 2.0]]
    assert stub.order == [(1, "forward_backward"), (2, "forward_backward"), (3, "optim_step")]
    forward, backward = (
        wire.ForwardBackwardRequest.FromString(call.body) for call in stub.of("forward_backward")
    )
    assert forward.forward_only
    assert not backward.forward_only
    assert set(forward.data[0].loss_fn_inputs) == {"target_tokens", "weights"}
    weights = torch.frombuffer(
        bytearray(backward.data[0].loss_fn_inputs["weights"].dense), dtype=torch.float32
    )
    assert weights.tolist() == [6.0, 8.0]  # -d(p^2)/dp at p = -3, -4
    assert result.metrics == {"mine": 5.0, "loss:sum": 25.0, "surrogate_loss:sum": 50.0}


def test_a_custom_loss_that_fails_leaves_the_run_usable(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    def broken(data: Any, logprobs: Any) -> Any:
        raise ZeroDivisionError("mine")

    def constant(data: Any, logprobs: Any) -> Any:
        return torch.tensor(1.0), {}

    failed = training.forward_backward_custom(DATA, broken)
    after = training.forward(DATA, "cross_entropy")
    with pytest.raises(ZeroDivisionError, match="mine"):
        failed.result(5)
    assert after.result(5).loss == 7.0
    with pytest.raises(ValueError, match="does not depend"):
        training.forward_backward_custom(DATA, constant).result(5)
    with pytest.raises(ValueError, match="target_tokens"):
        training.forward_backward_custom([types.Datum(types.ModelInput.from_ints([1]), {})], broken)
    assert [seq for seq, _ in stub.order] == [1, 2, 3]


def test_giving_up_the_wait_does_not_give_up_the_request(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.result(5)
    stub.script("retrieve_future", *[Answer(408, delay_s=0.15)] * 3)
    step = training.optim_step()
    with pytest.raises(TimeoutError, match="goes on"):
        step.result(0.05)

    async def impatient() -> None:
        with pytest.raises(TimeoutError, match="goes on"):
            await step.result_async(0.05)
        task = asyncio.create_task(step.coroutine())
        await asyncio.sleep(0)  # it begins
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(impatient())
    assert step.result(5).metrics is not None


def test_a_cancelled_submission_still_arrives_so_that_no_number_is_missing(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.result(5)
    stub.script("optim_step", Answer(status=0, delay_s=0.2))
    assert training.optim_step().cancel()
    training.forward(DATA, "cross_entropy").result(5)
    assert stub.order in (
        [(1, "optim_step"), (2, "forward_backward")],
        [(1, "forward_backward")],  # cancelled before it had a number
    )


def test_why_a_request_waits_is_told(stub: Stub, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tinsmith.Waiting] = []
    service = tinsmith.ServiceClient(base_url=stub.url, api_key="tml-x", on_waiting=heard.append)
    training = service.create_lora_training_client(BASE_MODEL).result(5)
    paused = {"queue_state": "paused_capacity", "queue_state_reason": "no worker is serving"}
    stub.script(
        "retrieve_future",
        Answer(408, paused),
        Answer(200, {"type": "try_again", **paused}),
        Answer(408, paused),
    )
    clock = itertools.count(0.0, 4.0)
    from tinsmith._session import session

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "time", type("Clock", (), {"monotonic": lambda: next(clock)}))
        training.optim_step().result(10)
    assert [notice.state for notice in heard] == ["paused_capacity"] * len(heard)
    assert heard[0].reason == "no worker is serving"
    assert (heard[0].target, heard[0].kind) == (RUN, "optim_step")
    warnings = [record for record in caplog.records if "no worker" in record.getMessage()]
    assert len(warnings) == 1  # once a minute
    service.close().result(5)


def test_a_poll_that_comes_back_at_once_is_not_repeated_in_a_rush(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    training.result(5)
    stub.results[f"{RUN}:1"] = Answer(408)
    step = training.optim_step()
    never(lambda: len(stub.of("retrieve_future")) > 7, for_s=0.7, but_after=lambda: "they go on")
    assert not step.done()


def test_measures_of_a_batch_in_several_requests_are_those_of_the_whole(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    """Percentiles and means over tokens do not follow from those of the parts."""
    stub.config = {"fwdbwd_max_chunk_len": 2}
    training = service.create_lora_training_client(BASE_MODEL, rank=4)
    rng = np.random.default_rng(1)
    data, inputs, logprobs = [], [], []
    for length in (1, 9, 30, 2, 5):
        targets = rng.integers(0, 9, length)
        arrays = {
            "target_tokens": targets,
            "logprobs": (rng.normal(0, 0.1, length) - targets).astype(np.float32),
            "advantages": np.ones(length, np.float32),
        }
        data.append(types.Datum(types.ModelInput.from_ints([1] * length), arrays))
        inputs.append(arrays)
        logprobs.append(-targets.astype(np.float32))  # what the stub answers
    expected = measure(LOSSES["ppo"], {**LOSSES["ppo"].defaults, **CLIPS}, inputs, logprobs)
    stub.measures = dict.fromkeys(expected, -1.0) | {"unmeasured:sum": 1.0}
    result = training.forward_backward(data, "ppo", CLIPS).result(5)
    assert len(stub.of("forward_backward")) == 3
    assert expected["clipped_share:mean"] > 0
    assert {name: result.metrics[name] for name in expected} == expected
    assert result.metrics["unmeasured:sum"] == 3
    stub.measures = {}  # a server that measures nothing
    assert not expected.keys() & training.forward_backward(data, "ppo").result(5).metrics.keys()


def test_pairs_travel_in_one_request(stub: Stub, service: tinsmith.ServiceClient) -> None:
    stub.config = {"fwdbwd_max_chunk_len": 3}
    training = service.create_lora_training_client(BASE_MODEL, rank=4)
    given = {"target_tokens": [2, 3], "weights": [0, 1], "logprobs": [-1.0, -1.0]}
    data = [types.Datum(types.ModelInput.from_ints([1, n]), given) for n in range(6)]
    training.forward_backward(data, "dpo", {"dpo_beta": 0.2}).result(5)
    requests = [
        wire.ForwardBackwardRequest.FromString(call.body) for call in stub.of("forward_backward")
    ]
    assert [len(request.data) for request in requests] == [2, 2, 2]
    with pytest.raises(ValueError, match=r"chosen, then rejected.* and 5 are not a multiple of 2"):
        training.forward_backward(data[:5], "dpo")
    bare = types.Datum.from_tokens([1, 2], [2, 3])
    with pytest.raises(ValueError, match=r"Datum 4: missing .*'logprobs', which other datums have"):
        training.forward_backward([*data[:4], bare, bare], "dpo")
    assert len(stub.of("forward_backward")) == 3
