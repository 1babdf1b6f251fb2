"""The sampling client against a server that can be told to fail."""

from __future__ import annotations

import asyncio
import pickle

import numpy as np
import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, SESSION, Answer, Stub
from tests.support.waiting import never
from tinsmith import types

PROMPT = types.ModelInput.from_ints(np.array([1, 2, 3]))
PARAMS = types.SamplingParams(max_tokens=4)
SAMPLER = f"{SESSION}:sample:0"


@pytest.fixture
def sampler(service: tinsmith.ServiceClient) -> tinsmith.SamplingClient:
    return service.create_sampling_client(base_model=BASE_MODEL)


def test_a_sample_request_is_what_the_protocol_says(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    params = types.SamplingParams(max_tokens=4, seed=1, stop=np.array([5]), temperature=0.0)  # type: ignore[arg-type]
    result = sampler.sample(PROMPT, 2, params, include_prompt_logprobs=True).result(5)
    assert stub.of("create_sampling_session")[0].json() == {
        "session_id": SESSION,
        "sampling_session_seq_id": 0,
        "base_model": BASE_MODEL,
        "type": "create_sampling_session",
    }
    assert stub.of("asample")[0].json() == {
        "sampling_session_id": SAMPLER,
        "seq_id": 0,
        "num_samples": 2,
        "prompt": {"chunks": [{"tokens": [1, 2, 3], "type": "encoded_text"}]},
        "sampling_params": {
            "max_tokens": 4,
            "seed": 1,
            "stop": [5],
            "temperature": 0.0,
            "top_k": -1,
            "top_p": 1.0,
        },
        "prompt_logprobs": True,
        "topk_prompt_logprobs": 0,
        "topk_sample_logprobs": 0,
        "prompt_alt_tokens_k": 0,
        "record_stability_info": False,
        "type": "sample",
    }
    assert [sequence.tokens for sequence in result.sequences] == [[7] * 4] * 2
    assert result.sequences[1].sequence_id == f"{SAMPLER}:0:1"
    assert result.sequences[0].logprobs == [-0.5] * 4
    assert result.prompt_logprobs == [None, -1.0, -1.0]


@pytest.mark.parametrize(
    ("stop", "sent"), [(None, "absent"), ([], []), ("a", "a"), (["a", "b"], ["a", "b"])]
)
def test_no_stop_and_an_empty_stop_are_different(
    stub: Stub, sampler: tinsmith.SamplingClient, stop: object, sent: object
) -> None:
    params = types.SamplingParams(max_tokens=1, stop=stop)  # type: ignore[arg-type]
    sampler.sample(PROMPT, 1, params).result(5)
    assert stub.of("asample")[0].json()["sampling_params"].get("stop", "absent") == sent


def test_compute_logprobs(sampler: tinsmith.SamplingClient) -> None:
    assert sampler.compute_logprobs(PROMPT).result(5) == [None, -1.0, -1.0]
    assert asyncio.run(sampler.compute_logprobs_async(PROMPT)) == [None, -1.0, -1.0]


def test_score(stub: Stub, sampler: tinsmith.SamplingClient) -> None:
    """Of the tokens after the answer: the stub finds every one as likely as minus its place."""
    assert sampler.score(PROMPT, [7, 8]).result(5) == 1.0
    assert asyncio.run(sampler.score_async(PROMPT, [7, 8])) == 1.0
    asked = stub.of("asample")[0].json()
    tokens = [*PROMPT.to_ints(), 7, 8]
    assert asked["prompt"]["chunks"][0]["tokens"][:-1] == tokens
    assert asked["target_prompt_logprobs"]["shape"] == [len(tokens), 2]
    assert asked["target_prompt_logprobs"]["data"] == [-1, -1] * (len(tokens) - 1) + [0, 1]
    with pytest.raises(ValueError, match="nothing to score"):
        sampler.score(PROMPT, [])
    with pytest.raises(TypeError, match="prompt"):
        sampler.score("text", [1])  # type: ignore[arg-type]


def test_many_samples_at_once(stub: Stub, sampler: tinsmith.SamplingClient) -> None:
    async def all_of_them() -> list[types.SampleResponse]:
        return await asyncio.gather(*[sampler.sample_async(PROMPT, 1, PARAMS) for _ in range(200)])

    results = asyncio.run(all_of_them())
    assert len({result.sequences[0].sequence_id for result in results}) == 200
    assert sorted(call.json()["seq_id"] for call in stub.of("asample")) == list(range(200))


def test_too_many_requests_are_sent_again_under_the_same_number(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    busy = Answer(429, {"detail": "busy"}, headers={"Retry-After-Ms": "20"})
    stub.script("asample", busy, busy)
    sampler.sample(PROMPT, 1, PARAMS).result(5)
    assert [call.json()["seq_id"] for call in stub.of("asample")] == [0, 0, 0]
    times = [call.at for call in stub.of("asample")]
    assert times[2] - times[1] >= 0.02


def test_a_full_server_is_asked_by_one_at_a_time(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    busy = Answer(429, {"detail": "busy"}, headers={"Retry-After-Ms": "50"})
    stub.script("asample", *[busy] * 60)
    futures = [sampler.sample(PROMPT, 1, PARAMS) for _ in range(20)]
    for future in futures:
        future.result(20)
    calls = stub.of("asample")
    assert len(calls) == 60 + 20
    # each knows at first hand that the server is full, then they stand in line
    assert calls[59].at - calls[20].at > 35 * 0.05
    assert calls[79].at - calls[60].at < 1.0
    assert sorted(seq for seq, _ in stub.order) == list(range(1, 20))  # and number 0


def test_a_sample_whose_result_was_lost_is_drawn_again(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    stub.script("retrieve_future", Answer(410, {"detail": "gone"}))
    result = sampler.sample(PROMPT, 1, PARAMS).result(5)
    assert result.sequences[0].sequence_id == f"{SAMPLER}:1:0"


def test_a_failed_sample_says_why(stub: Stub, sampler: tinsmith.SamplingClient) -> None:
    stub.results[f"{SAMPLER}:0"] = Answer(body={"error": "prompt too long", "category": "user"})
    with pytest.raises(tinsmith.RequestFailedError, match="prompt too long"):
        sampler.sample(PROMPT, 1, PARAMS).result(5)
    stub.results[f"{SAMPLER}:1"] = Answer(body={"type": "sample", "sequences": []})
    with pytest.raises(tinsmith.APIResponseValidationError, match="not as protobuf"):
        sampler.sample(PROMPT, 1, PARAMS).result(5)


def test_which_weights_must_be_said(stub: Stub, service: tinsmith.ServiceClient) -> None:
    with pytest.raises(ValueError, match="model_path or base_model"):
        service.create_sampling_client()
    with pytest.raises(ValueError, match="base_model="):
        service.create_sampling_client("stub/tiny")
    with pytest.raises(ValueError, match="int64"):
        service.create_sampling_client(base_model=BASE_MODEL).sample(
            PROMPT, 1, PARAMS, target_prompt_logprobs=types.TensorData([1.0], "float32")
        )
    assert stub.of("asample") == []


def test_the_base_model_is_asked_for_only_when_it_is_not_known(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    known = service.create_sampling_client(base_model=BASE_MODEL)
    saved = service.create_sampling_client("tinker://r/sampler_weights/w")
    assert known.get_base_model() == saved.get_base_model() == BASE_MODEL
    assert asyncio.run(saved.get_base_model_async()) == BASE_MODEL
    assert len([call for call in stub.calls if call.path.startswith("samplers/")]) == 1


def test_a_sampler_from_a_run_is_an_ephemeral_save_in_its_place(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    service.create_sampling_client(base_model=BASE_MODEL).result(5)
    run = service.create_lora_training_client(BASE_MODEL)
    step = run.optim_step()
    sampler = run.save_weights_and_get_sampling_client()
    run.optim_step()
    assert sampler.result(5).get_base_model() == BASE_MODEL
    step.result(5)
    body = stub.of("save_weights_for_sampler")[0].json()
    assert (body["seq_id"], body["sampling_session_seq_id"], body["kind"]) == (2, 1, "snapshot")
    assert "path" not in body
    result = asyncio.run(sampler.sample_async(PROMPT, 1, PARAMS))
    assert result.sequences[0].sequence_id == f"{SESSION}:sample:1:0:0"


def test_a_copy_in_another_process_has_numbers_of_its_own(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    copy = pickle.loads(pickle.dumps(sampler))
    copy.sample(PROMPT, 1, PARAMS).result(5)
    handle = sampler.get_sampler_handle()
    assert "tml-test" not in handle
    other = tinsmith.SamplingClient.from_sampler_handle(handle, api_key="tml-test")
    other.sample(PROMPT, 1, PARAMS).result(5)
    first, second = (call.json() for call in stub.of("asample"))
    assert first["sampling_session_id"] == second["sampling_session_id"] == SAMPLER
    assert 10**9 <= first["seq_id"] < 2**63
    assert first["seq_id"] // 10**9 != second["seq_id"] // 10**9
    assert len(stub.of("create_session")) == 1
    with pytest.raises(ValueError, match="no sampler handle"):
        tinsmith.SamplingClient.from_sampler_handle("what")


def test_giving_up_a_sample_stops_its_polls(stub: Stub, sampler: tinsmith.SamplingClient) -> None:
    sampler.result(5)
    for seq in range(2):
        stub.results[f"{SAMPLER}:{seq}"] = Answer(408, delay_s=0.02)

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sampler.sample_async(PROMPT, 1, PARAMS), 0.2)

    asyncio.run(give_up())
    polls = len(stub.of("retrieve_future"))
    never(
        lambda: len(stub.of("retrieve_future")) > polls + 1,  # one may be under way
        for_s=0.5,
        but_after=lambda: sampler.sample(PROMPT, 1, PARAMS),
    )
