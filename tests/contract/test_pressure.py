"""Back-pressure and giving up, through every client, on a platform that takes few samples at once.

The clients come by a proxy that only counts, so that a test knows what the server answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest

from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready
from tests.contract.clients import OLDER, OURS, PUBLIC, RELEASES, Client, Release
from tests.contract.conftest import BASE_MODEL, Administrator
from tests.faults.proxy import LossyProxy

OPEN_AT_ONCE = 4
# where nothing is stopped, the long samples take more than two minutes on two cores
SOON_S = 30.0


@dataclass
class Watched:
    """A client, and what it was answered."""

    client: Client
    proxy: LossyProxy

    def answers(self, address: str, status: int = 200) -> int:
        """How often an address has answered so."""
        return self.proxy.answered[address, status]


@pytest.fixture(scope="module")
def narrow_stack() -> Iterator[LiveStack]:
    """A platform with room for a few samples of a team."""
    folder = make_folder()
    process = start_up(folder, TINSMITH_MAX_OPEN_SAMPLES_PER_TEAM=str(OPEN_AT_ONCE))
    try:
        yield wait_ready(process, folder)
        assert stop_up(process) == 0, (folder / "up.log").read_text()
    finally:
        stop_up(process)
        remove_folder(folder)


def watch(release: Release, stack: LiveStack) -> Iterator[Watched]:
    proxy = LossyProxy(stack.url)
    client = Client(release, proxy.url, stack.api_key)
    yield Watched(client, proxy)
    client.close()
    proxy.shutdown()
    proxy.server_close()


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def watched(request: pytest.FixtureRequest, narrow_stack: LiveStack) -> Iterator[Watched]:
    """Each client in turn."""
    yield from watch(request.param, narrow_stack)


@pytest.fixture(params=(PUBLIC, OLDER[0], OURS), ids=lambda release: release.name)
def cancelling(request: pytest.FixtureRequest, narrow_stack: LiveStack) -> Iterator[Watched]:
    """The clients that tell the server what they have given up, and poll for all samples at once.

    Releases before 0.28 do neither.
    """
    yield from watch(request.param, narrow_stack)


def last_samples(stack: LiveStack, first: int, count: int) -> list[dict[str, str]]:
    """The JSON outcomes of some of the newest session's samples, by number."""
    with httpx.Client(
        base_url=f"{stack.url}/api/v1/", headers={"X-API-Key": stack.api_key}, timeout=60
    ) as http:
        (session,) = http.get("sessions", params={"limit": 1}).json()["sessions"]
        (sampler,) = http.get(f"sessions/{session}").json()["sampler_ids"]
        replies = [
            http.post("retrieve_future", json={"request_id": f"{sampler}:{seq}"})
            for seq in range(first, first + count)
        ]
    return [reply.json() for reply in replies]


def test_a_server_that_is_full_is_waited_for(watched: Watched) -> None:
    seen = watched.client.run("pressure.refused_at_first", base_model=BASE_MODEL, count=24)
    refused, taken = watched.answers("asample", 429), watched.answers("asample")
    print(f"{refused} times 429, {taken} samples taken, {seen['seconds']:.1f} s")
    assert refused > 0
    assert taken == 2 * 24  # nothing was asked for twice
    assert seen["together"] == seen["singly"]
    assert len({tuple(tokens) for tokens in seen["singly"]}) > 1


@pytest.mark.parametrize("how", ["cancelled", "abandoned"])
def test_samples_that_were_given_up_are_stopped(
    cancelling: Watched, narrow_stack: LiveStack, how: str
) -> None:
    seen = cancelling.client.run(f"pressure.{how}", base_model=BASE_MODEL, count=OPEN_AT_ONCE)
    print(f"the next sample took {seen['seconds']:.2f} s")
    if how == "cancelled":
        assert seen["given_up"] == seen["cancelled"] == [True] * OPEN_AT_ONCE
    else:
        assert seen["outcomes"] == ["timeout"] * OPEN_AT_ONCE
    # the team's places are free, and so are the sampler's
    assert seen["seconds"] < SOON_S
    assert seen["after"] == seen["before"]
    assert cancelling.answers("cancel_future") == OPEN_AT_ONCE
    outcomes = last_samples(narrow_stack, first=1, count=OPEN_AT_ONCE)
    assert [outcome["error"] for outcome in outcomes] == ["the request was cancelled"] * 4
    assert {outcome["category"] for outcome in outcomes} == {"user"}


def test_one_poll_tells_of_all_samples(cancelling: Watched) -> None:
    cancelling.client.run("sampling.many", base_model=BASE_MODEL, count=16)
    fetched = cancelling.answers("retrieve_future")
    print(f"{cancelling.answers('retrieve_futures')} polls for 32 samples")
    assert fetched == 32  # each result once, and none was waited for singly
    assert cancelling.answers("retrieve_future", 408) == 0
    assert cancelling.answers("retrieve_futures") > 0


@pytest.mark.parametrize("release", [PUBLIC, OURS], ids=lambda release: release.name)
def test_copies_of_a_client_are_numbered_by_the_server(
    release: Release, narrow_stack: LiveStack
) -> None:
    for seen in watch(release, narrow_stack):
        drawn = seen.client.run("pressure.copies", base_model=BASE_MODEL, count=3)
        assert seen.answers("join_sampling_session") == 3
        assert seen.answers("asample") == 4 * 3
        assert len({tuple(tokens) for some in drawn for tokens in some}) == 1


@pytest.mark.parametrize("release", OLDER[1:], ids=lambda release: release.name)
def test_releases_before_session_polls_go_on_as_they_did(
    release: Release, narrow_stack: LiveStack
) -> None:
    for seen in watch(release, narrow_stack):
        drawn = seen.client.run("sampling.many", base_model=BASE_MODEL, count=16)
        assert drawn["first"] == drawn["again"]
        assert seen.answers("retrieve_future") == 32
        assert seen.proxy.seen["retrieve_futures"] == 0


def test_one_poll_says_that_nobody_serves_the_samples(narrow_stack: LiveStack) -> None:
    unserved = Administrator(narrow_stack).add_unserved_model()
    for seen in watch(OURS, narrow_stack):
        (notice,) = seen.client.run("pressure.unserved", base_model=unserved)
        assert (notice["kind"], notice["state"]) == ("sample", "paused_capacity")
        assert notice["reason"].startswith("no worker is serving the pool")
        assert 5 < notice["seconds"] < 20
        assert seen.answers("retrieve_future", 408) == 0
