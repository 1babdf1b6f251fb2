"""The waiting line: fair between teams in tokens, in order within a team, nobody starved."""

from __future__ import annotations

from dataclasses import dataclass

from gpu_workers.engine.sampler.queue import FairQueue


@dataclass(eq=False)
class Asked:
    team: str
    name: str = ""
    cost: int = 10


def admit(queue: FairQueue[Asked]) -> Asked | None:
    """Take the next request as the sampler does: out of the line, charged, answered."""
    request = queue.peek()
    if request is not None:
        queue.remove(request)
        queue.charge(request.team, request.cost)
        queue.end(request)
    return request


def test_order_within_a_team() -> None:
    queue: FairQueue[Asked] = FairQueue()
    requests = [Asked("a", str(number)) for number in range(5)]
    for request in requests:
        queue.push(request)
    assert queue.waiting() == 5
    assert [admit(queue) for _ in range(5)] == requests
    assert admit(queue) is None
    assert not queue


def test_teams_get_equal_tokens_not_equal_requests() -> None:
    queue: FairQueue[Asked] = FairQueue()
    for _ in range(100):
        queue.push(Asked("big", cost=100))
        queue.push(Asked("small", cost=10))
    served = {"big": 0, "small": 0}
    for _ in range(55):
        request = admit(queue)
        assert request is not None
        served[request.team] += request.cost
    assert abs(served["big"] - served["small"]) <= 100


def test_a_newcomer_is_served_at_once_and_then_fairly() -> None:
    queue: FairQueue[Asked] = FairQueue()
    for _ in range(200):
        queue.push(Asked("old"))
    for _ in range(100):
        admit(queue)
    for _ in range(100):
        queue.push(Asked("new"))
    teams = [request.team for request in (admit(queue) for _ in range(20)) if request]
    assert "new" in teams[:2]
    assert 9 <= teams.count("new") <= 11  # its absence earned it nothing


def test_forks_go_before_new_requests_of_the_team() -> None:
    queue: FairQueue[Asked] = FairQueue()
    first, second = Asked("a", "first"), Asked("a", "second")
    queue.push(first)
    queue.push(second)
    assert queue.peek() is first
    queue.remove(first)
    assert queue.peek() is second
    queue.push_fork(first)
    assert queue.peek() is first
    queue.remove(first)
    assert queue.peek() is second


def test_ended_requests_leave_every_line() -> None:
    queue: FairQueue[Asked] = FairQueue()
    requests = [Asked("a"), Asked("a"), Asked("b")]
    for request in requests:
        queue.push(request)
    queue.end(requests[1])
    queue.remove(requests[0])
    queue.push_fork(requests[0])
    queue.end(requests[0])
    assert queue.everyone() == [requests[2]]
    assert queue.peek() is requests[2]
    assert queue.peek(leave_out={"b"}) is None


def test_teams_that_left_are_forgotten() -> None:
    queue: FairQueue[Asked] = FairQueue()
    for number in range(500):
        queue.push(Asked(f"team-{number}"))
        admit(queue)
    assert len(queue._teams) < 5
