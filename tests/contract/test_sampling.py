"""Sampling through every client."""

from __future__ import annotations

import math

import pytest

from tests.contract.clients import Client
from tests.contract.conftest import BASE_MODEL


@pytest.mark.parametrize("base_model", [BASE_MODEL, "tinsmith/nano-llama3"])
def test_a_base_model(client: Client, base_model: str) -> None:
    seen = client.run("sampling.base", base_model=base_model)
    assert seen["base_model"] == base_model
    for same in ("greedy_again", "greedy_top_k", "greedy_top_p"):
        assert seen[same] == seen["greedy"], same
    assert seen["seed_1"] == seen["seed_1_again"] != seen["seed_2"]
    assert len({tuple(tokens) for tokens in seen["seed_1"]}) > 1
    assert len(seen["sequences"]) == 3
    for sequence in seen["sequences"]:
        assert sequence["stop_reason"] == "length"
        assert len(sequence["tokens"]) == len(sequence["logprobs"]) == 6
        assert all(value <= 0 and math.isfinite(value) for value in sequence["logprobs"])
    # releases before provenance have no sequence ids
    assert len({sequence["sequence_id"] for sequence in seen["sequences"]} - {None}) in (0, 3)
    first, *others = seen["prompt_logprobs"]
    assert first is None
    assert all(value < 0 for value in others)
    assert seen["computed_logprobs"] == seen["prompt_logprobs"]


def test_stops(client: Client) -> None:
    seen = client.run("sampling.stops", base_model=BASE_MODEL)
    free = seen["free"]
    assert (len(free["tokens"]), free["stop_reason"]) == (12, "length")
    third = free["tokens"][2]
    cut = free["tokens"][: free["tokens"].index(third) + 1]
    assert seen["token"] == {"tokens": cut, "stop_reason": "stop"}
    for kind in ("string", "strings"):
        assert seen[kind]["stop_reason"] == "stop"
        assert seen[kind]["tokens"] == free["tokens"][: len(seen[kind]["tokens"])]
        assert len(seen[kind]["tokens"]) < 12
    assert seen["one"] == {"tokens": free["tokens"][:1], "stop_reason": "length"}


def test_trained_weights(client: Client) -> None:
    seen = client.run("sampling.trained", base_model=BASE_MODEL)
    assert seen["base_model"] == BASE_MODEL
    assert "/sampler_weights/named" in seen["path"]
    for sampler in ("ephemeral", "named", "own"):
        assert seen[sampler] == pytest.approx(seen["trainer"], abs=1e-5), sampler
    assert seen["untrained"] == pytest.approx(seen["base"], abs=1e-5)
    assert sum(seen["trainer_later"]) != pytest.approx(sum(seen["trainer"]), rel=1e-3)
    assert sum(seen["trainer"]) > sum(seen["base"])
    assert seen["greedy_ephemeral"] == seen["greedy_named"]


def test_many_at_once(client: Client) -> None:
    seen = client.run("sampling.many", base_model=BASE_MODEL, count=48)
    assert seen["first"] == seen["again"]
    assert len(seen["first"]) == 48


def test_saved_weights_outlive_their_session(client: Client) -> None:
    seen = client.run("sampling.named_is_frozen", base_model=BASE_MODEL)
    assert seen["before"] == seen["after"]
