"""The REST side through real clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conftest import LiveStack
from tests.contract.clients import OURS, PUBLIC, Client, Release
from tests.contract.conftest import BASE_MODEL

# later ones download external weights instead
WITH_ARCHIVES = Release("tinker", "tinker==0.30.4")


@pytest.fixture(scope="module", params=[PUBLIC, OURS], ids=lambda release: release.name)
def client(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """The newest clients, each in its own process: only they have all of this."""
    running = Client(request.param, live_stack.url, live_stack.api_key)
    yield running
    running.close()


@pytest.fixture
def other_client(client: Client, other_key: str) -> Iterator[Client]:
    """The same client in another team's hands."""
    running = Client(client.release, client.url, other_key)
    yield running
    running.close()


def test_listings(client: Client) -> None:
    seen = client.run("rest.listings", base_model=BASE_MODEL)
    made = seen["made"]
    assert seen["run"] == {
        "id": made["run"],
        "base_model": BASE_MODEL,
        "rank": 8,
        "metadata": {"k": "v"},
        "last": made["training"],
        "last_sampler": made["sampler"],
    }
    assert seen["first_of_page"] == seen["by_path"] == made["run"]
    assert seen["total"] >= 1
    assert seen["types"] == ["external", "sampler", "training"]
    assert min(seen["sizes"]) > 1000
    assert {"a": "b"} in seen["metadata"]
    assert seen["newest"] == sorted([made["training"], made["sampler"], made["external"]])
    assert seen["info"] == [BASE_MODEL, 8, True]


def test_changes(client: Client) -> None:
    seen = client.run("rest.changes", base_model=BASE_MODEL)
    assert (seen["published"], seen["unpublished"], seen["deleted"]) == (True, False, True)
    assert 7100 < seen["ttl_left"] <= 7200
    assert seen["no_ttl"] is None
    assert (seen["bad_ttl"]["status"], "3600" in seen["bad_ttl"]["message"]) == (400, True)
    assert (seen["again"]["type"], seen["again"]["status"]) == ("NotFoundError", 404)


def test_external_weights(client: Client) -> None:
    seen = client.run("rest.external_weights", base_model=BASE_MODEL)
    assert seen["files"] == ["adapter_config.json", "adapter_model.safetensors"]
    assert seen["config"] == ["LORA", 8]
    assert seen["tensors"] >= 7
    assert seen["after_deletion"] == 404


def test_archives_of_older_clients(live_stack: LiveStack) -> None:
    old = Client(WITH_ARCHIVES, live_stack.url, live_stack.api_key)
    try:
        seen = old.run("rest.archive", base_model=BASE_MODEL)
    finally:
        old.close()
    assert (
        seen["sampler"]
        == seen["training"]
        == [
            "adapter_config.json",
            "adapter_model.safetensors",
            "checkpoint_complete",
        ]
    )
    assert 0 < seen["lasts_s"] <= 3600


def test_copies(client: Client) -> None:
    seen = client.run("rest.copies", base_model=BASE_MODEL)
    assert seen["copy"] != seen["source"]
    assert seen["copy"].endswith("/weights/source")
    assert seen["losses"][0] == seen["losses"][1] == seen["losses"][2]
    assert seen["listed"]


def test_sessions(client: Client) -> None:
    seen = client.run("rest.sessions", base_model=BASE_MODEL)
    assert seen == {
        "listed": True,
        "runs": True,
        "metadata": {"made": "by the contract"},
        "found": [True],
        "checkpoints": 3,
        "status": "active",
        "traced": [
            "create_run",
            "forward_backward",
            "optim_step",
            "running",
            "save_weights",
            "save_weights_external",
            "save_weights_for_sampler",
        ],
    }


def test_reports(client: Client) -> None:
    seen = client.run("rest.reports", base_model=BASE_MODEL)
    urn, organization, email = seen["whoami"]
    assert urn.startswith("tinsmith:team:")
    assert organization.rpartition(":")[2] == urn.rpartition(":")[2]
    assert email is None
    assert seen["audit"] == ["checkpoint_saved", "checkpoint_published", "checkpoint_unpublished"]
    assert seen["usage"]["training"] == sum(12 + index - 1 for index in range(3))
    assert seen["usage"]["checkpoint"] == 3
    assert seen["stored"] >= 3
    assert seen["kept"] > 0


def test_public_checkpoints_are_for_everybody(client: Client, other_client: Client) -> None:
    path = client.run("rest.publish", base_model=BASE_MODEL)
    seen = other_client.run("rest.read_others", path=path, token=None)
    assert seen["loaded"]["type"] is seen["info"]["type"] is None
    assert seen["deleted"]["status"] == seen["unpublished"]["status"] == 404


def test_a_teams_key_opens_its_private_checkpoints(
    client: Client, other_client: Client, live_stack: LiveStack
) -> None:
    path = client.run("rest.private", base_model=BASE_MODEL)
    refused = other_client.run("rest.read_others", path=path, token=None)
    assert refused["loaded"]["type"] is not None
    assert refused["info"]["status"] == refused["deleted"]["status"] == 404
    opened = other_client.run("rest.read_others", path=path, token=live_stack.api_key)
    assert opened["loaded"]["type"] is None, opened
    assert opened["deleted"]["status"] == 404
