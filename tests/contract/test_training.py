"""Training through every client."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import OURS, PUBLIC, Client, Release
from tests.contract.conftest import BASE_MODEL, Administrator


@pytest.fixture(params=[PUBLIC, OURS], ids=lambda release: release.name)
def newest_with_torch(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """The newest public client, then ours: they pass losses on that they do not know."""
    release: Release = request.param
    running = Client(release, live_stack.url, live_stack.api_key, with_torch=True)
    yield running
    running.close()


def test_capabilities(client: Client) -> None:
    models = {model["name"]: model for model in client.run("training.capabilities")}
    # old releases drop what they do not know
    assert (models[BASE_MODEL]["max_context_length"] or 256) >= 256
    assert "tinsmith/nano-llama3" in models


def test_info(client: Client) -> None:
    info = client.run("training.info", base_model=BASE_MODEL)
    session, kind, number = info.pop("model_id").rsplit(":", 2)
    assert (len(session), kind, number) == (36, "train", "0")
    assert info == {"model_name": BASE_MODEL, "lora_rank": 8, "is_lora": True}


@pytest.mark.parametrize("base_model", [BASE_MODEL, "tinsmith/nano-llama3"])
def test_the_tokenizer_needs_no_hub(client: Client, base_model: str) -> None:
    found = client.run("training.tokenizer", base_model=base_model)
    assert found["text"] == "Pig Latin"
    assert "user" in found["chat"]
    assert "hi" in found["chat"]


@pytest.mark.parametrize("base_model", [BASE_MODEL, "tinsmith/nano-llama3"])
def test_supervised_training(client: Client, base_model: str) -> None:
    seen = client.run("training.supervised", base_model=base_model)
    losses = seen["losses"]
    assert len(losses) == 8
    assert losses == sorted(losses, reverse=True)
    assert seen["after"] < losses[-1] < 0.9 * losses[0]
    assert seen["before"] == pytest.approx(losses[0], rel=1e-6)
    assert seen["logprobs"] == seen["first_logprobs"]
    assert [len(row) for row in seen["logprobs"]] == [11, 12, 13]
    assert losses[0] == pytest.approx(-sum(sum(row) for row in seen["logprobs"]), rel=1e-5)


def test_forward_leaves_no_gradient(client: Client) -> None:
    first, later = client.run("training.forward_leaves_no_gradient", base_model=BASE_MODEL)
    assert first == later


def test_policy_losses(client: Client) -> None:
    seen = client.run("training.policy_losses", base_model=BASE_MODEL)
    losses, advantages = seen["losses"], seen["advantages"]
    # at ratio 1 every surrogate's value is known
    for name in losses.keys() & {"importance_sampling", "ppo", "gspo"}:
        assert losses[name] == pytest.approx(-advantages, rel=1e-5, abs=1e-4), name
    for name in ("cispo", "dro"):
        assert losses[name] == pytest.approx(-seen["weighted"], rel=1e-5, abs=1e-4), name
    assert seen["stepped"]


def test_soft_targets(client: Client) -> None:
    seen = client.run("training.soft_targets", base_model=BASE_MODEL)
    expected = -sum(0.75 * first + 0.25 * second for first, second in seen["logprobs"])
    assert seen["loss"] == pytest.approx(expected, rel=1e-5)


def test_a_batch_of_several_requests(client: Client) -> None:
    seen = client.run("training.big_batch", base_model=BASE_MODEL, count=2500)
    assert seen["outputs"] == 2500
    assert seen["many"] == pytest.approx(2500 * seen["one"], rel=1e-4)


def test_results_can_be_fetched_again(client: Client) -> None:
    losses = client.run("training.futures", base_model=BASE_MODEL)["losses"]
    assert len(losses) == 4
    assert len(set(losses)) == 1


def test_asyncio(client: Client) -> None:
    first, second = client.run("training.asynchronous", base_model=BASE_MODEL)
    assert second < first


def test_losses_written_in_torch(client_with_torch: Client) -> None:
    seen = client_with_torch.run("training.custom_loss", base_model=BASE_MODEL)
    custom, server = seen["custom"], seen["server"]
    assert custom["metrics"]["count"] == 3.0
    assert custom["metrics"]["loss:sum"] == pytest.approx(server["metrics"]["loss:sum"], rel=1e-5)
    if "surrogate_loss:sum" in custom["metrics"]:  # newer releases tell the server's own, too
        surrogate = custom["metrics"]["surrogate_loss:sum"]
        assert surrogate == pytest.approx(server["metrics"]["loss:sum"], rel=1e-5)
    assert custom["after"] == server["after"]


def test_dpo_equals_the_loss_written_in_torch(newest_with_torch: Client) -> None:
    """Four steps: losses fall the same way, so gradients are the same."""
    seen = newest_with_torch.run("training.dpo", base_model=BASE_MODEL)
    assert seen["server"][0] == pytest.approx(np.log(2), rel=1e-5)
    assert seen["server"] == sorted(seen["server"], reverse=True)
    assert seen["server"][3] < 0.9 * seen["server"][0]
    assert seen["server"] == pytest.approx(seen["custom"], rel=1e-4)


def test_a_reward_model_is_trained_and_scores_what_it_was_trained_on(
    live_stack: LiveStack,
) -> None:
    running = Client(OURS, live_stack.url, live_stack.api_key)
    seen = running.run("training.rewards", base_model=BASE_MODEL)
    running.close()
    assert seen["losses"][-1] < 0.5 * seen["losses"][0]
    assert seen["accuracy"] == 1
    assert seen["scores"] == pytest.approx(seen["trained"], rel=1e-4, abs=1e-4)
    assert seen["scores"][0] > seen["scores"][1]
    assert seen["scores"][2] > seen["scores"][3]


def test_a_missing_worker_is_waited_for(client: Client, administrator: Administrator) -> None:
    failed = client.run("training.impatience", base_model=administrator.add_unserved_model())
    assert failed["type"] == "TimeoutError"
