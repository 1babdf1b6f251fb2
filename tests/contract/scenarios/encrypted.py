"""External weights that only the holders of age keys can read."""

from __future__ import annotations

from typing import Any

from .kit import WAIT_S, Kit, done, failure


def saved(kit: Kit, base_model: str, recipients: list[str]) -> dict[str, Any]:
    """Save a trained run's weights plain and encrypted; where the files of each are."""
    training = kit.training(base_model)
    kit.step(training, kit.batch())
    rest = kit.client.RestClient()
    options: dict[str, dict[str, Any]] = {
        "plain": {},
        "encrypted": {"age_encryption_recipients": recipients},
    }
    result: dict[str, Any] = {}
    for name, option in options.items():
        path = training.save_weights_external(name, **option).result(WAIT_S).path
        result[name] = {"path": path, "urls": done(rest.get_external_weights_urls(path)).urls}
    run = training.get_info().model_id
    listed = {item.tinker_path: item for item in done(rest.list_checkpoints(run)).checkpoints}
    for item in result.values():
        item["size_bytes"] = listed[item["path"]].size_bytes
    return result


def refused(kit: Kit, base_model: str, recipients: list[list[str]]) -> list[dict[str, Any]]:
    """What became of saves for these recipients, and of a plain one after them."""
    training = kit.training(base_model)
    kit.step(training, kit.batch())
    outcomes = [
        failure(lambda: training.save_weights_external("e", age_encryption_recipients=given))  # noqa: B023
        for given in recipients
    ]
    return [*outcomes, failure(lambda: training.save_weights_external("e"))]


def used(kit: Kit, base_model: str, path: str) -> dict[str, Any]:
    """What became of loading and sampling an encrypted checkpoint, and of the run meanwhile."""
    service = kit.service()
    training = kit.training(base_model, service)
    create = service.create_training_client_from_state
    return {
        "load": failure(lambda: training.load_state(path)),
        "create": failure(lambda: kit.step(done(create(path)), kit.batch())),
        "sample": failure(lambda: done(service.create_sampling_client(model_path=path))),
        "run": failure(lambda: kit.step(training, kit.batch())),
    }
