"""What users get wrong, and that a run survives it."""

from __future__ import annotations

from functools import partial
from typing import Any

from .kit import WAIT_S, Kit, done, failure, logprobs, token_lists

# what a release that speaks JSON fails on itself, after it has used up a number of the run's order
NOT_IN_JSON = ("unknown_loss", "nan_weights", "infinite_advantages")


def bad_key(kit: Kit, api_key: str) -> dict[str, Any]:
    """Any call with a key that is not good."""
    return failure(lambda: kit.service(api_key=api_key).get_server_capabilities())


def creation(kit: Kit, base_model: str) -> dict[str, Any]:
    """Runs and samplers that cannot be made."""
    service = kit.service()
    make = service.create_lora_training_client
    return {
        "unknown_model": failure(lambda: make("no/such-model", rank=8)),
        "rank_0": failure(lambda: make(base_model, rank=0)),
        "rank_too_big": failure(lambda: make(base_model, rank=4096)),
        "unknown_sampler_model": failure(
            lambda: service.create_sampling_client(base_model="no/such-model")
        ),
        "unknown_checkpoint": failure(
            lambda: service.create_training_client_from_state("tinker://nobody:train:0/weights/x")
        ),
        "unknown_sampler_checkpoint": failure(
            lambda: service.create_sampling_client(
                model_path="tinker://nobody:train:0/sampler_weights/x"
            )
        ),
        "usable": failure(lambda: make(base_model, rank=8)),
    }


def _bad_batches(kit: Kit, context: int) -> dict[str, tuple[list[Any], str, Any]]:
    """Batches with one mistake each, every one next to a good datum."""
    (tokens,) = token_lists(count=1)
    n = len(tokens) - 1
    good = kit.datum(tokens)
    policy = {"weights": None, "logprobs": [-1.0] * n, "advantages": [1.0] * n}

    def one(loss: str = "cross_entropy", config: Any = None, **inputs: Any) -> Any:
        return [good, kit.datum(tokens, **inputs)], loss, config

    long = [98] * (context + 2)
    return {
        "shape_mismatch": one(weights=[1.0] * (n - 1)),
        "target_mismatch": one(target_tokens=[98] * (n + 1)),
        "token_out_of_range": ([good, kit.datum([98, 10**6, 98])], "cross_entropy", None),
        "negative_token": ([good, kit.datum([98, -1, 98])], "cross_entropy", None),
        "target_out_of_range": one(target_tokens=[10**6] * n),
        "unknown_loss": one(loss="no_such_loss"),
        "unknown_config": one(config={"no_such_key": 1.0}),
        "missing_input": one(weights=None, target_tokens=None),
        "missing_advantages": (
            [kit.datum(tokens, **{**policy, "advantages": None})],
            "importance_sampling",
            None,
        ),
        "unknown_policy_config": (
            [kit.datum(tokens, **policy)],
            "ppo",
            {"clip_low": 0.8},
        ),
        "too_long": ([good, kit.datum(long)], "cross_entropy", None),
        "nan_weights": one(weights=[float("nan")] * n),
        "infinite_advantages": (
            [kit.datum(tokens, **{**policy, "advantages": [float("inf")] * n})],
            "importance_sampling",
            None,
        ),
    }


def batches(kit: Kit, base_model: str, context: int) -> dict[str, Any]:
    """The same training twice, once with every mistake between: nothing of them may remain."""
    data = kit.batch()

    def train(client: Any, disturb: Any) -> dict[str, Any]:
        disturb()
        first = client.forward_backward(data, "cross_entropy").result(WAIT_S)
        disturb()
        second = client.forward_backward(data[:1], "cross_entropy").result(WAIT_S)
        client.optim_step(kit.adam()).result(WAIT_S)
        disturb()
        after = client.forward(data, "cross_entropy").result(WAIT_S)
        return {
            "losses": [item.metrics["loss:sum"] for item in (first, second, after)],
            "logprobs": logprobs(after),
        }

    service = kit.service()
    disturbed = kit.training(base_model, service)
    failures: dict[str, Any] = {}

    def make_mistakes() -> None:
        bad = _bad_batches(kit, context)
        if kit.speaks_json:
            bad = {name: value for name, value in bad.items() if name not in NOT_IN_JSON}
        sent = {
            name: disturbed.forward_backward(batch, loss, config)
            for name, (batch, loss, config) in bad.items()
        }
        for name, future in sent.items():
            failures[name] = failure(partial(future.result, WAIT_S))

    return {
        "disturbed": train(disturbed, make_mistakes),
        "undisturbed": train(kit.training(base_model, service), lambda: None),
        "failures": failures,
    }


def steps(kit: Kit, base_model: str) -> dict[str, Any]:
    """Optimizer steps with impossible parameters."""
    training = kit.training(base_model)
    return {
        "negative_rate": failure(lambda: training.optim_step(kit.adam(learning_rate=-1.0))),
        "beta_1": failure(lambda: training.optim_step(kit.adam(beta1=1.0))),
        "usable": failure(lambda: training.optim_step(kit.adam())),
    }


def names(kit: Kit, base_model: str) -> dict[str, Any]:
    """Saves under names that hold a NUL character, and a step behind them."""
    training = kit.training(base_model)
    return {
        "of_a_state": failure(lambda: training.save_state("a\0b")),
        "of_sampler_weights": failure(lambda: training.save_weights_for_sampler("a\0b")),
        "of_a_load": failure(lambda: training.load_state("tinker://a\0b/weights/x")),
        "usable": failure(lambda: training.optim_step(kit.adam())),
    }


def samples(kit: Kit, base_model: str, context: int) -> dict[str, Any]:
    """Samples that cannot be drawn."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))

    def ask(tokens: list[int], count: int = 1, **params: Any) -> dict[str, Any]:
        options = {"max_tokens": 4} | params
        return failure(lambda: sampler.sample(kit.prompt(tokens), count, kit.params(**options)))

    return {
        "token_out_of_range": ask([10**6]),
        "too_long": ask([98] * (context + 1)),
        "no_tokens": ask([]),
        "temperature": ask([98], temperature=-1.0),
        "top_p": ask([98], top_p=0.0),
        "usable": ask([98]),
    }


def foreign(kit: Kit, api_key: str, path: str, sampler_path: str) -> dict[str, Any]:
    """Another team's checkpoints."""
    service = kit.service(api_key=api_key)
    return {
        "state": failure(lambda: service.create_training_client_from_state(path)),
        "sampler": failure(lambda: service.create_sampling_client(model_path=sampler_path)),
    }


def own(kit: Kit, base_model: str) -> dict[str, str]:
    """Checkpoints of this team, for `foreign`; their session stays open."""
    training = kit.training(base_model)
    sampler = done(training.save_weights_and_get_sampling_client())
    found = {
        "run": training.get_info().model_id,
        "path": training.save_state("mine").result(WAIT_S).path,
        "sampler_path": training.save_weights_for_sampler("mine").result(WAIT_S).path,
        "base_model": sampler.get_base_model(),
    }
    # Open sessions keep their runs: what is not found later is not found because of its team
    kit._services.clear()
    return found
