"""Saving and loading: the trajectory goes on exactly, with or without the optimizer."""

from __future__ import annotations

from typing import Any

from .kit import WAIT_S, Kit, done, failure, supported


def trajectory(kit: Kit, base_model: str) -> dict[str, Any]:
    """Save after three steps, go on for three; then go on again from the checkpoint, four ways."""
    service = kit.service()
    training, data = kit.training(base_model, service), kit.batch()
    for _ in range(3):
        kit.step(training, data)
    options = supported(training.save_state, ttl_seconds=7200, user_metadata={"a": "b"})
    path = training.save_state("s1", **options).result(WAIT_S).path

    def three(client: Any) -> list[float]:
        return [kit.step(client, data) for _ in range(3)]

    result: dict[str, Any] = {"path": path, "went_on": three(training)}
    training.load_state_with_optimizer(path).result(WAIT_S)
    result["loaded_with_optimizer"] = three(training)
    training.load_state(path).result(WAIT_S)
    result["loaded"] = three(training)
    result["new_with_optimizer"] = three(
        done(service.create_training_client_from_state_with_optimizer(path))
    )
    result["new"] = three(done(service.create_training_client_from_state(path)))
    other = kit.service()
    result["other_session"] = three(
        done(other.create_training_client_from_state_with_optimizer(path))
    )
    return result


def gradient_is_dropped(kit: Kit, base_model: str) -> list[float]:
    """A load drops what was accumulated: the step after it moves nothing."""
    training, data = kit.training(base_model), kit.batch()
    path = training.save_state("start").result(WAIT_S).path
    first = training.forward_backward(data, "cross_entropy").result(WAIT_S).metrics["loss:sum"]
    training.load_state_with_optimizer(path).result(WAIT_S)
    training.optim_step(kit.adam(learning_rate=0.1)).result(WAIT_S)
    return [first, training.forward(data, "cross_entropy").result(WAIT_S).metrics["loss:sum"]]


def names(kit: Kit, base_model: str) -> dict[str, Any]:
    """A name is taken once, unless overwriting is asked for; bad names are refused."""
    training = kit.training(base_model)
    path = training.save_state("twice").result(WAIT_S).path
    seen = {
        "taken": failure(lambda: training.save_state("twice")),
        "overwritten": path,
        "bad_name": failure(lambda: training.save_state("a b")),
    }
    if supported(training.save_state, overwrite=True):
        seen["overwritten"] = training.save_state("twice", overwrite=True).result(WAIT_S).path
    if supported(training.save_state, ttl_seconds=5):
        seen["bad_ttl"] = failure(lambda: training.save_state("ttl", ttl_seconds=5))
    return seen
