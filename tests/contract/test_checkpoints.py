"""Saving and loading through every client."""

from __future__ import annotations

import pytest

from tests.contract.clients import Client
from tests.contract.conftest import BASE_MODEL


def test_training_goes_on_exactly(client: Client) -> None:
    seen = client.run("checkpoints.trajectory", base_model=BASE_MODEL)
    assert seen["path"].startswith("tinker://")
    assert seen["path"].endswith(":train:0/weights/s1")
    for kind in ("loaded_with_optimizer", "new_with_optimizer", "other_session"):
        assert seen[kind] == seen["went_on"], kind
    for kind in ("loaded", "new"):
        assert seen[kind][0] == seen["went_on"][0], kind
        assert seen[kind][1:] != seen["went_on"][1:], kind
    assert seen["loaded"] == seen["new"]


def test_a_load_drops_the_gradient(client: Client) -> None:
    first, later = client.run("checkpoints.gradient_is_dropped", base_model=BASE_MODEL)
    assert later == pytest.approx(first, rel=1e-6)


def test_names(client: Client) -> None:
    seen = client.run("checkpoints.names", base_model=BASE_MODEL)
    assert "/weights/twice" in seen["overwritten"]
    for kind, word in (("taken", "twice"), ("bad_name", "a b"), ("bad_ttl", "3600")):
        if kind not in seen:  # not in this release
            continue
        assert seen[kind]["type"] == "RequestFailedError", kind
        assert seen[kind]["category"] == "user", kind
        assert word in seen[kind]["message"], kind
