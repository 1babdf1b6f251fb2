"""What the SDK makes of refusals: no number is lost, none is used twice, no batch is half done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, SESSION, Answer, Stub
from tinsmith import types, wire

RUN = f"{SESSION}:train:0"
DATUM = types.Datum.from_tokens([1, 2, 3], [2, 3, 4], [0.0, 1.0, 1.0])
WITHDRAW = f"runs/{RUN}/withdraw"


@pytest.fixture
def training(stub: Stub, service: tinsmith.ServiceClient) -> tinsmith.TrainingClient:
    """A run whose batches travel in requests of one datum."""
    stub.config = {"fwdbwd_max_chunk_len": 1}
    return service.create_lora_training_client(BASE_MODEL, rank=4).result(5)


def refusal(status: int, place: str | None = None) -> Answer:
    headers = {} if place is None else {"X-Tinsmith-Sequence": place}
    return Answer(status, {"detail": "no"}, headers)


def refuse_passes(stub: Stub, answers: dict[int, Answer]) -> None:
    """Answer passes by their number; the others are taken."""
    route = stub._forward_backward

    def chosen(call: Any) -> Answer:
        seq = wire.ForwardBackwardRequest.FromString(call.body).seq_id
        return answers.get(seq) or route(call)

    stub._forward_backward = chosen  # type: ignore[method-assign]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 415, 422])
@pytest.mark.parametrize(("place", "following"), [("free", 1), ("held", 2)])
def test_numbers_are_counted_by_the_servers_header(
    stub: Stub, training: tinsmith.TrainingClient, status: int, place: str, following: int
) -> None:
    stub.script("optim_step", refusal(status, place))
    with pytest.raises(tinsmith.APIStatusError, match="no"):
        training.optim_step().result(5)
    training.save_state("s").result(5)
    assert stub.order == [(following, "save_weights")]
    assert stub.withdrawn == []


@pytest.mark.parametrize("status", [400, 403, 413, 451])
def test_a_refusal_by_somebody_between_withdraws_the_number(
    stub: Stub, training: tinsmith.TrainingClient, status: int
) -> None:
    stub.script("optim_step", refusal(status))
    with pytest.raises(tinsmith.APIStatusError, match="no"):
        training.optim_step().result(5)
    training.save_state("s").result(5)
    assert stub.withdrawn == [(1, 1)]
    assert stub.order == [(2, "save_weights")]
    assert "no" in stub.of(WITHDRAW)[0].json()["reason"]


def test_a_number_that_cannot_be_made_sure_of_ends_the_run(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    stub.script("optim_step", refusal(413))
    stub.script(WITHDRAW, refusal(403))
    with pytest.raises(tinsmith.RequestTooLargeError):
        training.optim_step().result(5)
    with pytest.raises(tinsmith.RunBrokenError, match="request 1 "):
        training.save_state("s").result(5)


def test_an_older_server_counts_what_it_refuses(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    stub.script("optim_step", refusal(400), refusal(403))
    stub.script(WITHDRAW, refusal(404), refusal(404))
    with pytest.raises(tinsmith.BadRequestError):
        training.optim_step().result(5)
    training.save_state("s").result(5)
    assert stub.order == [(2, "save_weights")]
    with pytest.raises(tinsmith.PermissionDeniedError):
        training.optim_step().result(5)
    with pytest.raises(tinsmith.RunBrokenError, match="request 3 "):
        training.save_state("t").result(5)


def test_a_number_is_not_free_when_an_earlier_try_may_have_arrived(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    stub.script("optim_step", Answer(drop=True), refusal(401, "free"))
    with pytest.raises(tinsmith.AuthenticationError):
        training.optim_step().result(5)
    assert stub.withdrawn == [(1, 1)]
    training.save_state("s").result(5)
    assert stub.order == [(2, "save_weights")]
    # and when it has arrived, it is done, though the caller was told otherwise
    stub.script("optim_step", Answer(drop=True, act=True), refusal(401, "free"))
    with pytest.raises(tinsmith.AuthenticationError):
        training.optim_step().result(5)
    with pytest.raises(tinsmith.RunBrokenError, match="request 3 "):
        training.save_state("t").result(5)


@pytest.mark.parametrize("parallel", [True, False])
@pytest.mark.parametrize("refused", [2, 3])
@pytest.mark.parametrize("place", [None, "free", "held"])
def test_a_batch_one_of_whose_requests_is_refused_is_withdrawn_whole(
    stub: Stub, service: tinsmith.ServiceClient, parallel: bool, refused: int, place: str | None
) -> None:
    stub.config = {"fwdbwd_max_chunk_len": 1, "parallel_fwdbwd_chunks": parallel}
    training = service.create_lora_training_client(BASE_MODEL, rank=4)
    refuse_passes(stub, {refused: refusal(413, place)})
    passed = training.forward_backward([DATUM] * 3, "cross_entropy")
    stepped = training.optim_step()
    with pytest.raises(tinsmith.RequestTooLargeError, match="no"):
        passed.result(5)
    stepped.result(5)
    first = not parallel and refused == 2 and place == "free"
    # nothing of it is done; where nothing of it had been stored its numbers are used again
    assert stub.withdrawn == ([] if first else [(1, 3)])
    assert stub.order == [(1 if first else 4, "optim_step")]


@pytest.mark.parametrize("place", ["held", "free", None])
def test_a_batch_whose_first_request_is_refused(
    stub: Stub, training: tinsmith.TrainingClient, place: str | None
) -> None:
    refuse_passes(stub, {1: refusal(400, place)})
    passed = training.forward_backward([DATUM] * 3, "cross_entropy")
    stepped = training.optim_step()
    with pytest.raises(tinsmith.BadRequestError):
        passed.result(5)
    stepped.result(5)
    assert stub.withdrawn == [(1, 3)]
    assert stub.order[-1] == (4, "optim_step")


def test_a_batch_whose_first_request_comes_too_late_is_not_half_begun_in_silence(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    """Its number was given up, its place is held; a part that came after that is done already."""
    refuse_passes(stub, {1: refusal(400, "held")})
    stub.script(WITHDRAW, Answer(body={"standing": [3]}))
    with pytest.raises(tinsmith.BadRequestError):
        training.forward_backward([DATUM] * 3, "cross_entropy").result(5)
    with pytest.raises(tinsmith.RunBrokenError, match="request 3 "):
        training.optim_step().result(5)


@pytest.mark.parametrize("arrived", [False, True])
def test_a_number_is_not_held_for_nothing_when_an_earlier_try_may_have_arrived(
    stub: Stub, training: tinsmith.TrainingClient, arrived: bool
) -> None:
    stub.script("optim_step", Answer(drop=True, act=arrived), refusal(413, "held"))
    with pytest.raises(tinsmith.RequestTooLargeError):
        training.optim_step().result(5)
    assert stub.withdrawn == [(1, 1)]
    if arrived:  # it is done, though the caller was told otherwise
        with pytest.raises(tinsmith.RunBrokenError, match="request 1 "):
            training.save_state("s").result(5)
    else:
        training.save_state("s").result(5)
        assert stub.order == [(2, "save_weights")]


def test_a_batch_that_is_refused_altogether_leaves_its_numbers_free(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    refuse_passes(stub, {seq: refusal(401, "free") for seq in (1, 2, 3)})
    with pytest.raises(tinsmith.AuthenticationError):
        training.forward_backward([DATUM] * 3, "cross_entropy").result(5)
    training.optim_step().result(5)
    assert (stub.order, stub.withdrawn) == ([(1, "optim_step")], [])


def test_a_batch_part_of_which_is_lost_ends_the_run_and_never_begins(
    stub: Stub, training: tinsmith.TrainingClient
) -> None:
    refuse_passes(stub, {2: Answer(503, {"detail": "down"})})
    with pytest.raises(tinsmith.InternalServerError):
        training.forward_backward([DATUM] * 3, "cross_entropy").result(20)
    with pytest.raises(tinsmith.RunBrokenError):
        training.optim_step().result(5)
    assert stub.order == [(3, "forward_backward")]


BAD = "a\ud800b"
VERBS: dict[str, Callable[[tinsmith.TrainingClient], Any]] = {
    "save_state": lambda run: run.save_state(BAD),
    "save_state's metadata": lambda run: run.save_state("a", user_metadata={"a": BAD}),
    "save_weights_for_sampler": lambda run: run.save_weights_for_sampler(BAD),
    "save_weights_external": lambda run: run.save_weights_external(BAD),
    "its recipients": lambda run: run.save_weights_external(
        "a",
        age_encryption_recipients=[object()],  # type: ignore[list-item]
    ),
    "load_state": lambda run: run.load_state(BAD),
    "load_state_with_optimizer": lambda run: run.load_state_with_optimizer("a", BAD),
    "optim_step": lambda run: run.optim_step(
        types.AdamParams(learning_rate=object())  # type: ignore[arg-type]
    ),
    "a sampler's kind": lambda run: run.save_weights_and_get_sampling_client(
        kind=BAD  # type: ignore[arg-type]
    ),
    "forward_backward": lambda run: run.forward_backward([DATUM], BAD),
    "its settings": lambda run: run.forward_backward([DATUM], "ppo", {"a": BAD}),
    "an object in them": lambda run: run.forward_backward(
        [DATUM],
        "ppo",
        {"a": object()},  # type: ignore[dict-item]
    ),
    "forward": lambda run: run.forward([DATUM], BAD),
}


@pytest.mark.parametrize("verb", VERBS)
def test_what_cannot_be_encoded_takes_no_number(
    stub: Stub, training: tinsmith.TrainingClient, verb: str
) -> None:
    with pytest.raises((ValueError, TypeError)):
        VERBS[verb](training).result(5)
    training.optim_step().result(5)
    assert (stub.order, stub.withdrawn) == ([(1, "optim_step")], [])


def test_a_sample_that_cannot_be_encoded_takes_no_number(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    sampler = service.create_sampling_client(base_model=BASE_MODEL)
    prompt = types.ModelInput.from_ints([1])
    with pytest.raises(ValueError, match="surrogates"):
        sampler.sample(prompt, 1, types.SamplingParams(max_tokens=1, stop=BAD)).result(5)
    sampler.sample(prompt, 1, types.SamplingParams(max_tokens=1)).result(5)
    assert [call.json()["seq_id"] for call in stub.of("asample")] == [0]
