"""Curves of programs that log nothing, against what their client has sent and received.

The numbers are computed here, from the client's own data, with nothing of the platform's code.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import OURS, PUBLIC, Client, Release
from tests.contract.conftest import BASE_MODEL
from tests.contract.scenarios.captures import ANSWER, GROUPS, RATE, SIBLINGS
from tests.support.waiting import eventually


@pytest.fixture(params=[PUBLIC, OURS], ids=lambda release: release.name)
def newest(request: pytest.FixtureRequest, live_stack: LiveStack) -> Iterator[Client]:
    """The newest public client, then ours."""
    release: Release = request.param
    running = Client(release, live_stack.url, live_stack.api_key)
    yield running
    running.close()


@pytest.fixture(scope="module")
def pages(live_stack: LiveStack) -> Iterator[httpx.Client]:
    """What the dashboard reads, as somebody who is signed in."""
    with httpx.Client(base_url=f"{live_stack.url}/api/console/") as browser:
        browser.get("session")
        given = {"username": live_stack.admin_username, "password": live_stack.admin_password}
        token = {"X-CSRFToken": browser.cookies["csrftoken"]}
        assert browser.post("session", json=given, headers=token).status_code == 204
        yield browser


def curves(pages: httpx.Client, run: str, steps: int, *keys: str) -> dict[str, list[float]]:
    """Captured metrics by key, once all steps are there."""
    given = {"key": [f"engine/{key}" for key in keys]}

    def found() -> dict[str, list[float]] | None:
        answer = pages.get(f"runs/{run}/series", params=given)
        assert answer.status_code == 200, answer.text
        series = {one["key"].removeprefix("engine/"): one for one in answer.json()["series"]}
        whole = all(one["total"] == steps for one in series.values())
        return {key: one["last"] for key, one in series.items()} if whole else None

    got = eventually(found, within_s=30)
    assert got is not None
    return got


def flat(rows: list[list[float]]) -> np.ndarray[Any, Any]:
    """All positions, one after another."""
    return np.concatenate([np.array(row) for row in rows])


def test_supervised(newest: Client, pages: httpx.Client) -> None:
    seen = newest.run("captures.supervised", base_model=BASE_MODEL)
    steps = seen["steps"]
    keys = ("loss", "loss_sum", "grad_norm", "learning_rate", "tokens", "trained_tokens", "datums")
    got = curves(pages, seen["run"], len(steps), *keys)
    for number, step in enumerate(steps):
        p, w = flat(step["logprobs"]), flat(step["weights"])
        loss = -(p * w).sum()
        assert got["loss_sum"][number] == pytest.approx(loss, rel=1e-5)
        assert got["loss_sum"][number] == pytest.approx(sum(step["losses"]), rel=1e-7)
        assert got["loss"][number] == pytest.approx(loss / (w != 0).sum(), rel=1e-5)
        assert got["grad_norm"][number] == pytest.approx(step["grad_norm"], rel=1e-7)
        assert got["learning_rate"][number] == RATE
        assert got["tokens"][number] == len(p)
        assert got["trained_tokens"][number] == (w != 0).sum()
        assert got["datums"][number] == len(step["weights"])
    shown = pages.get(f"runs/{seen['run']}").json()
    assert shown["headline"]["key"] == "engine/loss"
    used = {kind["kind"]: kind["quantity"] for kind in shown["usage"]["kinds"]}
    assert used["train"] == sum(len(flat(step["logprobs"])) for step in steps)
    batch = pages.get(f"runs/{seen['run']}/batches/0").json()["batch"]["datums"]
    texts = zip(batch, steps[0]["logprobs"], steps[0]["weights"], strict=True)
    for datum, p, w in texts:
        assert datum["loss"] == pytest.approx(-(np.array(p) * w).sum(), rel=1e-5)


def test_policy(newest: Client, pages: httpx.Client) -> None:
    seen = newest.run("captures.policy", base_model=BASE_MODEL)
    steps = seen["steps"]
    keys = ("kl_sample_train_v1", "kl_sample_train_v2", "entropy", "ratio_p50", "ratio_p99")
    keys += ("clipped_share", "loss_sum", "groups", "mixed_share", "constant_share", "length_mean")
    got = curves(pages, seen["run"], len(steps), *keys)
    for number, step in enumerate(steps):
        p, q, a = (flat(step[name]) for name in ("logprobs", "sampled", "advantages"))
        drawn = q != 0
        gap = (p - q)[drawn]
        ratio = np.exp(p - q)
        clipped = np.clip(ratio, 0.8, 1.2)
        expected = -np.minimum(ratio * a, clipped * a)[drawn].sum()
        assert got["loss_sum"][number] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        assert got["kl_sample_train_v1"][number] == pytest.approx(-gap.mean(), abs=1e-6)
        assert got["kl_sample_train_v2"][number] == pytest.approx((gap**2).mean() / 2, abs=1e-7)
        assert got["entropy"][number] == pytest.approx(-q[drawn].mean(), rel=1e-5)
        ordered = np.sort(ratio[drawn])
        assert got["ratio_p50"][number] == pytest.approx(
            ordered[int(np.ceil(0.5 * len(ordered))) - 1], rel=1e-5
        )
        assert got["ratio_p99"][number] == pytest.approx(
            ordered[int(np.ceil(0.99 * len(ordered))) - 1], rel=1e-5
        )
        beyond = (ratio < 0.8) | (ratio > 1.2)
        assert got["clipped_share"][number] == pytest.approx(beyond[drawn].mean(), abs=1e-7)
        assert got["groups"][number] == GROUPS
        rows = [row[-1] for row in step["advantages"]]
        groups = [rows[at : at + SIBLINGS] for at in range(0, len(rows), SIBLINGS)]
        mixed = [max(group) > min(group) for group in groups]
        assert got["mixed_share"][number] == pytest.approx(np.mean(mixed))
        zero = [advantage == 0 for advantage in rows]
        assert got["constant_share"][number] == pytest.approx(np.mean(zero))
        lengths = [sum(value != 0 for value in row) for row in step["sampled"]]
        assert got["length_mean"][number] == pytest.approx(np.mean(lengths))
        assert max(lengths) <= ANSWER
    # the second pass over the same rollouts is further from their sampler
    assert got["kl_sample_train_v2"][1] > got["kl_sample_train_v2"][0]
