"""One poll for all samples of a client, numbers for its copies, and samples that are given up."""

from __future__ import annotations

import asyncio
import concurrent.futures
import pickle

import httpx
import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, SESSION, Answer, Stub
from tests.support.waiting import eventually, eventually_async, never
from tinsmith import types
from tinsmith._sampling import results as sample_results
from tinsmith._session import giving_up, waiting

PROMPT = types.ModelInput.from_ints([1, 2, 3])
PARAMS = types.SamplingParams(max_tokens=4)
SAMPLER = f"{SESSION}:sample:0"
NOT_YET = Answer(408, delay_s=0.02)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Report what was fetched soon."""
    monkeypatch.setattr(sample_results, "REPORT_AFTER_S", 0.1)


@pytest.fixture(params=[True, False], ids=["one poll", "a poll each"])
def sampler(
    request: pytest.FixtureRequest, stub: Stub, service: tinsmith.ServiceClient
) -> tinsmith.SamplingClient:
    """A client of a server that offers one poll for all, and of one that does not."""
    stub.config = {"sample_use_retrieve_futures": request.param}
    stub.dynamic_config = {"sample_cancel_enabled": True}
    return service.create_sampling_client(base_model=BASE_MODEL).result(5)


@pytest.fixture
def polling(stub: Stub, service: tinsmith.ServiceClient) -> tinsmith.SamplingClient:
    """A client of a server that offers one poll for all."""
    stub.config = {"sample_use_retrieve_futures": True}
    return service.create_sampling_client(base_model=BASE_MODEL).result(5)


def hold(stub: Stub, *seqs: int) -> list[str]:
    """Samples that do not end before the test says so; their names."""
    names = [f"{SAMPLER}:{seq}" for seq in seqs]
    for name in names:
        stub.results[name] = NOT_YET
    return names


def drawn() -> Answer:
    """A result."""
    other = Stub()
    client = tinsmith.ServiceClient(base_url=other.url, api_key="tml-x")
    client.create_sampling_client(base_model=BASE_MODEL).sample(PROMPT, 1, PARAMS).result(5)
    (result,) = other.results.values()
    client.close().result(5)
    other.close()
    return result


# ---- one poll


def test_one_poll_tells_of_all_samples(stub: Stub, polling: tinsmith.SamplingClient) -> None:
    names, result = hold(stub, *range(20)), drawn()
    futures = [polling.sample(PROMPT, 1, PARAMS) for _ in names]
    eventually(lambda: len(stub.of("asample")) == 20 and stub.of("retrieve_futures"))
    never(
        lambda: (
            len(stub.of("retrieve_futures")) > 1
            or stub.of("retrieve_future")
            or any(future.done() for future in futures)
        ),
        for_s=0.2,
        but_after=lambda: [stub.end(name, result) for name in reversed(names)],
    )
    for seq, future in enumerate(futures):
        assert future.result(5).sequences[0].sequence_id == f"{SAMPLER}:{seq}:0"
    asked = [call.json()["request_id"] for call in stub.of("retrieve_future")]
    assert sorted(asked) == sorted(names)  # each once
    eventually(lambda: sum(len(ids) for ids in reported(stub)) == 20)
    assert sorted(name for ids in reported(stub) for name in ids) == sorted(names)
    polls = [call.json() for call in stub.of("retrieve_futures")]
    assert polls[0] == {
        "target": {
            "type": "sampling_session",
            "sampling_session_id": SAMPLER,
            "cloned_sampler_id": 0,
        },
        "prev_cursor": 0,
        "retrieved_request_ids": [],
    }
    cursors = [poll["prev_cursor"] for poll in polls]
    assert cursors == sorted(cursors)
    assert cursors[-1] == 20
    assert polls[-1]["timeout"] == 0.0  # nobody waits: it only reports


def reported(stub: Stub) -> list[list[str]]:
    return [call.json()["retrieved_request_ids"] for call in stub.of("retrieve_futures")]


def test_a_client_at_rest_does_not_poll(stub: Stub, polling: tinsmith.SamplingClient) -> None:
    polling.sample(PROMPT, 1, PARAMS).result(5)
    polling.sample(PROMPT, 1, PARAMS).result(5)
    eventually(lambda: len(stub.of("retrieve_futures")) == 3)
    assert reported(stub) == [[], [f"{SAMPLER}:0"], [f"{SAMPLER}:1"]]
    never(
        lambda: len(stub.of("retrieve_futures")) > 3,
        for_s=0.5,
        but_after=lambda: polling.sample(PROMPT, 1, PARAMS).result(5),
    )


def test_the_server_decides_whether_there_is_one_poll(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    service.create_sampling_client(base_model=BASE_MODEL).sample(PROMPT, 1, PARAMS).result(5)
    assert stub.of("retrieve_futures") == []
    assert len(stub.of("retrieve_future")) == 1


def test_a_sample_may_end_before_its_submission_is_answered(
    stub: Stub, polling: tinsmith.SamplingClient
) -> None:
    first, second = hold(stub, 0, 1)
    result = drawn()
    slow = polling.sample(PROMPT, 1, PARAMS)
    eventually(lambda: stub.of("retrieve_futures"))
    stub.end(second, result)
    eventually(lambda: len(stub.of("retrieve_futures")) == 2)  # so its end has been told
    assert polling.sample(PROMPT, 1, PARAMS).result(1).sequences
    assert not slow.done()
    stub.end(first, result)
    assert slow.result(5).sequences


def test_a_failed_sample_says_why(stub: Stub, polling: tinsmith.SamplingClient) -> None:
    (name,) = hold(stub, 0)
    future = polling.sample(PROMPT, 1, PARAMS)
    stub.end(name, Answer(body={"error": "prompt too long", "category": "user"}))
    with pytest.raises(tinsmith.RequestFailedError, match="prompt too long"):
        future.result(5)


def test_a_lost_poll_is_repeated_from_the_same_place(
    stub: Stub, polling: tinsmith.SamplingClient
) -> None:
    stub.script("retrieve_futures", Answer(drop=True), Answer(503), Answer(408))
    assert polling.sample(PROMPT, 1, PARAMS).result(5).sequences
    assert [call.json()["prev_cursor"] for call in stub.of("retrieve_futures")] == [0] * 4


def test_a_refused_poll_fails_its_samples_and_no_others(
    stub: Stub, polling: tinsmith.SamplingClient
) -> None:
    hold(stub, 0, 1)
    stub.script("retrieve_futures", Answer(404, {"detail": "no such sampler"}, delay_s=0.3))
    futures = [polling.sample(PROMPT, 1, PARAMS) for _ in range(2)]
    for future in futures:
        with pytest.raises(tinsmith.NotFoundError, match="no such sampler"):
            future.result(5)
    assert polling.sample(PROMPT, 1, PARAMS).result(5).sequences


def test_polls_without_news_are_not_repeated_in_a_rush(
    stub: Stub, polling: tinsmith.SamplingClient
) -> None:
    hold(stub, 0)
    stub.script("retrieve_futures", *[Answer(body={"completions": [], "cursor": 0})] * 100)
    future = polling.sample(PROMPT, 1, PARAMS)
    never(lambda: len(stub.of("retrieve_futures")) > 5, for_s=0.7, but_after=lambda: "they go on")
    future.cancel()


def test_why_samples_wait_is_told(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "PATIENCE_S", 0.05)
    stub.config = {"sample_use_retrieve_futures": True}
    heard: list[tinsmith.Waiting] = []
    paused = {
        "completions": [],
        "cursor": 0,
        "queue_state": "paused_capacity",
        "queue_state_reason": "no worker is serving",
    }
    stub.script("retrieve_futures", *[Answer(body=paused, delay_s=0.15)] * 2)
    with tinsmith.ServiceClient(
        base_url=stub.url, api_key="tml-x", on_waiting=heard.append
    ) as service:
        service.create_sampling_client(base_model=BASE_MODEL).sample(PROMPT, 1, PARAMS).result(5)
    first, second = heard
    assert (first.target, first.kind, first.state) == (SAMPLER, "sample", "paused_capacity")
    assert first.reason == "no worker is serving"
    assert 0.1 < first.seconds < second.seconds


# ---- copies


def test_copies_are_numbered_by_the_server(stub: Stub, service: tinsmith.ServiceClient) -> None:
    stub.config = {"sample_use_retrieve_futures": True, "sample_join_sampling_session": True}
    sampler = service.create_sampling_client(base_model=BASE_MODEL).result(5)
    sampler.sample(PROMPT, 1, PARAMS).result(5)
    assert stub.of("join_sampling_session") == []  # whoever made it is number 0
    pickled = pickle.loads(pickle.dumps(sampler))
    other = tinsmith.SamplingClient.from_sampler_handle(
        sampler.get_sampler_handle(), api_key="tml-test"
    )
    made = tinsmith.SamplingClient.create(service.holder, sampling_session_id=SAMPLER).result(5)
    clones = []
    for client in (pickled, other, made):
        for _ in range(2):
            client.sample(PROMPT, 1, PARAMS).result(5)
        first, second = (call.json()["seq_id"] for call in stub.of("asample")[-2:])
        assert second == first + 1
        assert first % 10**9 == 0
        clones.append(first // 10**9)
        assert stub.of("retrieve_futures")[-1].json()["target"]["cloned_sampler_id"] == clones[-1]
    assert sorted(clones) == [1, 2, 3]
    joins = [call.json() for call in stub.of("join_sampling_session")]
    assert joins == [{"sampling_session_id": SAMPLER, "type": "join_sampling_session"}] * 3


def test_a_copy_of_a_sampler_that_is_gone_says_so(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    stub.config = {"sample_join_sampling_session": True}
    stub.script("join_sampling_session", Answer(404, {"detail": "there is no sampler"}))
    copy = pickle.loads(pickle.dumps(service.create_sampling_client(base_model=BASE_MODEL)))
    with pytest.raises(tinsmith.NotFoundError, match="there is no sampler"):
        copy.sample(PROMPT, 1, PARAMS).result(5)
    assert stub.of("asample") == []


# ---- giving up


def cancelled(stub: Stub) -> list[str]:
    return [call.json()["request_id"] for call in stub.of("cancel_future")]


def test_a_cancelled_sample_is_stopped_on_the_server(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    names = hold(stub, 0, 1, 2)
    futures = [sampler.sample(PROMPT, 1, PARAMS) for _ in names]
    eventually(lambda: len(stub.of("asample")) == 3)
    eventually(lambda: stub.of("retrieve_futures") or len(stub.of("retrieve_future")) >= 3)
    assert futures[0].cancel()
    assert futures[2].future().cancel()
    eventually(lambda: len(cancelled(stub)) == 2)
    assert sorted(cancelled(stub)) == [names[0], names[2]]
    assert futures[0].cancelled()
    stub.end(names[1], drawn())
    assert futures[1].result(5).sequences
    assert sampler.sample(PROMPT, 1, PARAMS).result(5).sequences
    assert len(stub.of("client/dynamic_config")) == 1


def test_a_sample_that_is_done_cannot_be_cancelled(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    (held,) = hold(stub, 1)
    future = sampler.sample(PROMPT, 1, PARAMS)
    future.result(5)
    assert not future.cancel()
    other = sampler.sample(PROMPT, 1, PARAMS)
    never(lambda: cancelled(stub), for_s=0.1, but_after=other.cancel)
    assert cancelled(stub) == [held]


def test_giving_up_in_asynchronous_code_gives_up_the_sample(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    names = hold(stub, 0, 1, 2, 3)

    async def give_up() -> None:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sampler.sample_async(PROMPT, 1, PARAMS), 0.2)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(sampler.sample(PROMPT, 1, PARAMS).coroutine(), 0.2)
        with pytest.raises(TimeoutError, match="it was given up"):
            await sampler.sample(PROMPT, 1, PARAMS).result_async(0.2)
        scoring = asyncio.create_task(sampler.compute_logprobs_async(PROMPT))
        await eventually_async(lambda: len(stub.of("asample")) == 4)
        scoring.cancel()
        with pytest.raises(asyncio.CancelledError):
            await scoring

    asyncio.run(give_up())
    eventually(lambda: len(cancelled(stub)) == 4)
    assert sorted(cancelled(stub)) == names


def test_a_timeout_in_plain_code_leaves_the_sample_running(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    name, given_up = hold(stub, 0, 1)
    future, other = (sampler.sample(PROMPT, 1, PARAMS) for _ in range(2))
    with pytest.raises(TimeoutError, match="the request goes on"):
        future.result(0.2)
    never(lambda: cancelled(stub), for_s=0.1, but_after=other.cancel)
    assert cancelled(stub) == [given_up]
    stub.end(name, drawn())
    assert future.result(5).sequences


def test_a_sample_given_up_while_it_is_submitted_is_stopped_too(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    (name,) = hold(stub, 0)
    stub.script("asample", Answer(0, delay_s=0.3))
    future = sampler.sample(PROMPT, 1, PARAMS)
    eventually(lambda: stub.of("asample"))
    assert future.cancel()
    assert cancelled(stub) == []
    eventually(lambda: cancelled(stub) == [name])


def test_a_submission_that_is_never_taken_is_withdrawn(
    stub: Stub, sampler: tinsmith.SamplingClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_up, "SUBMISSION_S", 0.2)
    stub.script("asample", *[Answer(429, {"detail": "busy"})] * 1000)
    future = sampler.sample(PROMPT, 1, PARAMS)
    eventually(lambda: stub.of("asample"))
    future.cancel()
    counts = [0]

    def at_rest() -> bool:
        counts.append(len(stub.of("asample")))
        return counts[-1] == counts[-2]

    eventually(at_rest, every_s=0.3)
    never(
        lambda: len(stub.of("asample")) > counts[-1],
        for_s=0.3,
        but_after=lambda: sampler.sample(PROMPT, 1, PARAMS),
    )
    assert cancelled(stub) == []


@pytest.mark.parametrize("answer", [Answer(body={}), Answer(404, {"detail": "Not Found"})])
def test_a_server_that_does_not_want_to_hear_of_it_does_not(
    stub: Stub, sampler: tinsmith.SamplingClient, answer: Answer
) -> None:
    stub.script("client/dynamic_config", answer)
    (name,) = hold(stub, 0)
    future = sampler.sample(PROMPT, 1, PARAMS)
    eventually(lambda: stub.of("asample"))
    future.cancel()
    eventually(lambda: stub.of("client/dynamic_config"))
    never(
        lambda: cancelled(stub),
        for_s=0.2,
        but_after=lambda: httpx.post(f"{stub.url}/api/v1/cancel_future", json={"request_id": name}),
    )
    stub.end(name, drawn())
    assert sampler.sample(PROMPT, 1, PARAMS).result(5).sequences


def test_whether_the_server_wants_to_hear_is_asked_again_after_a_while(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    hold(stub, *range(100))

    def give_one_up() -> list[str]:
        count = len(stub.of("asample"))
        future = sampler.sample(PROMPT, 1, PARAMS)
        eventually(lambda: len(stub.of("asample")) == count + 1)
        future.cancel()
        return cancelled(stub)

    stub.dynamic_config = {"sample_cancel_enabled": False, "refresh_interval_sec": 0.1}
    give_one_up()
    eventually(lambda: stub.of("client/dynamic_config"))
    stub.dynamic_config = {"sample_cancel_enabled": True, "refresh_interval_sec": 60}
    eventually(give_one_up, every_s=0.05)
    assert f"{SAMPLER}:0" not in cancelled(stub)
    assert len(stub.of("client/dynamic_config")) == 2


def test_a_server_that_fails_to_cancel_is_no_matter(
    stub: Stub, sampler: tinsmith.SamplingClient
) -> None:
    hold(stub, 0)
    stub.script("cancel_future", Answer(400, {"detail": "what?"}))
    future = sampler.sample(PROMPT, 1, PARAMS)
    eventually(lambda: stub.of("asample"))
    future.cancel()
    eventually(lambda: stub.of("cancel_future"))
    assert sampler.sample(PROMPT, 1, PARAMS).result(5).sequences
    with pytest.raises(concurrent.futures.CancelledError):
        future.result(1)


def test_requests_to_runs_are_not_cancelled(stub: Stub, service: tinsmith.ServiceClient) -> None:
    stub.dynamic_config = {"sample_cancel_enabled": True}
    training = service.create_lora_training_client(BASE_MODEL).result(5)
    stub.results[f"{SESSION}:train:0:1"] = NOT_YET
    step = training.optim_step()
    eventually(lambda: stub.of("optim_step"))
    assert step.cancel()
    hold(stub, 0)
    sample = service.create_sampling_client(base_model=BASE_MODEL).sample(PROMPT, 1, PARAMS)
    never(
        lambda: stub.of("client/dynamic_config") or stub.of("cancel_future"),
        for_s=0.2,
        but_after=sample.cancel,
    )
