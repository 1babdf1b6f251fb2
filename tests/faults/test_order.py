"""Requests that come twice, too early or not at all, and clients that go away."""

from __future__ import annotations

import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import OURS, PUBLIC, Client, Release
from tests.faults.processes import connections, web_process
from tests.faults.proxy import LossyProxy
from tests.faults.wire import BASE_MODEL, loss, new_run, new_session, result, submit
from tests.support.waiting import eventually
from tinsmith.wire import wire_pb2


@pytest.mark.parametrize("release", [PUBLIC, OURS], ids=lambda release: release.name)
def test_lost_replies_change_nothing(live_stack: LiveStack, release: Release) -> None:
    """Every third reply of each kind is lost after the server acted; the client sends again."""
    proxy = LossyProxy(live_stack.url, lose_every=3)
    direct = Client(release, live_stack.url, live_stack.api_key)
    lossy = Client(release, proxy.url, live_stack.api_key)
    try:
        undisturbed = direct.run("training.supervised", base_model=BASE_MODEL)
        disturbed = lossy.run("training.supervised", base_model=BASE_MODEL)
    finally:
        direct.close()
        lossy.close()
        proxy.shutdown()
        proxy.server_close()
    assert proxy.lost["forward_backward"] >= 3
    assert proxy.lost["optim_step"] >= 2
    assert disturbed == undisturbed


def test_what_is_sent_twice_is_done_once(http: httpx.Client) -> None:
    session = new_session(http)
    run, same = new_run(http, session), new_run(http, session)
    assert run == same
    other = new_run(http)
    for target, times in ((run, 3), (other, 1)):
        for seq, seed in ((1, 5), (2, None), (3, 5)):
            ids = {submit(http, target, seq, seed=seed) for _ in range(times)}
            assert ids == {f"{target}:{seq}"}
    answers = [result(http, f"{target}:3") for target in (run, other)]
    assert answers[0] == answers[1]
    # sent again after it was done, with another body: the first stands
    assert submit(http, run, 3, seed=6) == f"{run}:3"
    assert result(http, f"{run}:3") == answers[0]


def test_order_is_by_number_whatever_comes_first(http: httpx.Client) -> None:
    shuffled, straight = new_run(http), new_run(http)
    plan = {1: 1, 2: None, 3: 2, 4: None, 5: 3}
    for seq in (5, 3, 4, 2, 1):
        submit(http, shuffled, seq, seed=plan[seq])
    for seq in plan:
        submit(http, straight, seq, seed=plan[seq])
    for seq in (1, 3, 5):
        assert result(http, f"{shuffled}:{seq}") == result(http, f"{straight}:{seq}")


def test_a_missing_number_is_waited_for(http: httpx.Client) -> None:
    run = new_run(http)
    submit(http, run, 1, seed=1)
    last = submit(http, run, 3, seed=1)
    assert loss(result(http, f"{run}:1")) > 0
    with pytest.raises(httpx.ReadTimeout):
        http.post("retrieve_future", json={"request_id": last}, timeout=1.5)
    submit(http, run, 2)
    assert loss(result(http, last)) < loss(result(http, f"{run}:1"))


def test_results_can_be_fetched_again_and_again(http: httpx.Client) -> None:
    run = new_run(http)
    request_id = submit(http, run, 1, seed=1)
    answers = {result(http, request_id) for _ in range(3)}
    assert len(answers) == 1


def test_a_client_killed_in_its_poll_is_not_missed(
    http: httpx.Client, live_stack: LiveStack
) -> None:
    run = new_run(http)
    waiting = submit(http, run, 2, seed=1)
    parts = urlsplit(live_stack.url)
    body = f'{{"request_id":"{waiting}"}}'
    head = (
        f"POST /api/v1/retrieve_future HTTP/1.1\r\nHost: x\r\nX-API-Key: {live_stack.api_key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}"
    )
    before = connections(web_process(live_stack))
    polls = [socket.create_connection((parts.hostname or "", parts.port or 80)) for _ in range(50)]
    for poll in polls:
        poll.sendall(head.encode())
    eventually(lambda: connections(web_process(live_stack)) >= before + 50)
    for poll in polls:
        # a reset, as a killed process leaves it behind
        poll.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        poll.close()
    submit(http, run, 1)
    assert loss(result(http, waiting)) > 0
    assert "Traceback" not in live_stack.log("web")


def test_samples_that_nobody_wants_stop(http: httpx.Client) -> None:
    sampler = http.post(
        "create_sampling_session",
        json={
            "session_id": new_session(http),
            "sampling_session_seq_id": 0,
            "base_model": BASE_MODEL,
        },
    ).json()["sampling_session_id"]

    def ask(seq: int, max_tokens: int) -> str:
        body = {
            "sampling_session_id": sampler,
            "seq_id": seq,
            "num_samples": 16,
            "prompt": {"chunks": [{"tokens": [72, 101]}]},
            "sampling_params": {"max_tokens": max_tokens, "stop": []},
        }
        return http.post("asample", json=body).json()["request_id"]

    unwanted = [ask(seq, 2000) for seq in range(20)]
    for request_id in unwanted:
        assert http.post("cancel_future", json={"request_id": request_id}).status_code == 200
    assert json.loads(result(http, unwanted[-1]))["category"] == "user"
    wanted = result(http, ask(20, 2))
    assert len(wire_pb2.SampleResponse.FromString(wanted).sequences) == 16
    # whoever was cancelled in time has failed, and nobody waits for anything any more
    answers = [result(http, request_id) for request_id in unwanted]
    assert sum(b"cancelled" in answer for answer in answers) >= 10
