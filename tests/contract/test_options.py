"""What only the newest public client and ours can ask."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import OURS, PUBLIC, Client, Release
from tests.contract.conftest import BASE_MODEL


@pytest.fixture(scope="module", params=(PUBLIC, OURS), ids=lambda release: release.name)
def newest(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """The newest public client, then ours."""
    release: Release = request.param
    running = Client(release, live_stack.url, live_stack.api_key)
    yield running
    running.close()


def test_scores_of_a_prompt(newest: Client, http: httpx.Client) -> None:
    models = http.get("get_server_capabilities").json()["supported_models"]
    context = next(m["max_context_length"] for m in models if m["model_name"] == BASE_MODEL)
    seen = newest.run("options.scores", base_model=BASE_MODEL, context=context)
    own, top = seen["own"], seen["top"]
    assert own[0] is None
    assert top[0] is None
    assert len(own) == len(top) == 8
    assert [row[1] for row in seen["targets"]] == pytest.approx(own[1:], abs=1e-5)
    assert all(row[0] == 0 for row in seen["targets"])
    for row, value in zip(top[1:], own[1:], strict=True):
        assert len(row) == 3
        assert row[0][1] >= row[1][1] >= row[2][1]
        assert row[0][1] >= value - 1e-5
    assert [len(row) for row in seen["alternatives"]] == [4] * 7
    assert all(value <= 0 for row in seen["alternative_logprobs"] for value in row)
    assert seen["last"][:-2] == [None] * 6
    assert seen["last"][-2:] == pytest.approx(own[-2:], abs=1e-5)
    assert seen["full_context"] == context
    for kind, word in (("too_long", str(context)), ("bad_target", "[7, K]")):
        assert seen[kind]["category"] == "user", seen[kind]
        assert word in seen[kind]["message"], seen[kind]


def test_inflight_samplers_follow_their_run(newest: Client) -> None:
    seen = newest.run("options.inflight", base_model=BASE_MODEL)
    assert seen["first_before"] == pytest.approx(seen["run"][0], abs=1e-5)
    assert seen["first"] == seen["newest"] == pytest.approx(seen["run"][-1], abs=1e-5)
    assert seen["frozen"] == seen["frozen_before"] == pytest.approx(seen["run"][0], abs=1e-5)
    assert sum(seen["first"]) != pytest.approx(sum(seen["first_before"]), rel=1e-3)


def test_stable_reinforce_knows_what_was_sampled(newest: Client) -> None:
    seen = newest.run("options.stable_reinforce", base_model=BASE_MODEL)
    assert seen["recorded"] == seen["given"] != seen["without_penalty"]
    assert seen["without_spans"] == pytest.approx(seen["without_penalty"], rel=1e-5)
    assert seen["unrecorded_given"]["type"] is None
    for kind, word in (
        ("unrecorded", "record_stability_info"),
        ("stray_advantage", "advantage"),
        ("changed_tokens", "target_tokens"),
        ("unknown_option", "kl_coeff"),
    ):
        assert seen[kind]["category"] == "user", seen[kind]
        assert word in seen[kind]["message"], seen[kind]
