"""Users' mistakes through every client, and what never reaches a client's eyes over plain HTTP."""

from __future__ import annotations

import json
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import Client
from tests.contract.conftest import BASE_MODEL, OTHER_TEAM, Administrator
from tests.support.waiting import eventually
from tinsmith.wire import wire_pb2

PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def context(http: httpx.Client) -> int:
    """The base model's context length."""
    models = http.get("get_server_capabilities").json()["supported_models"]
    return next(m["max_context_length"] for m in models if m["model_name"] == BASE_MODEL)


def test_keys(client: Client, administrator: Administrator) -> None:
    revoked = administrator.make_key(OTHER_TEAM)
    assert client.run("mistakes.bad_key", api_key=revoked)["type"] is None
    administrator.revoke(revoked)
    eventually(  # a key may be remembered for two seconds
        lambda: client.run("mistakes.bad_key", api_key=revoked).get("status"), equals=401
    )
    for key in ("tml-" + "x" * 43, "tml-short", revoked):
        failed = client.run("mistakes.bad_key", api_key=key)
        assert (failed["type"], failed["status"]) == ("AuthenticationError", 401)
    assert "Traceback" not in failed["message"]


def test_a_missing_key(live_stack: LiveStack) -> None:
    for address in ("client/config", "create_session", "forward_backward", "retrieve_future"):
        response = httpx.post(f"{live_stack.url}/api/v1/{address}", json={})
        assert response.status_code == 401
        assert set(response.json()) == {"detail"}


def test_things_that_cannot_be_made(client: Client) -> None:
    seen = client.run("mistakes.creation", base_model=BASE_MODEL)
    for kind in ("unknown_model", "unknown_sampler_model"):
        assert seen[kind]["status"] == 400, kind
        assert BASE_MODEL in seen[kind]["message"], kind
    for kind in ("rank_0", "rank_too_big"):
        assert seen[kind]["status"] == 400, kind
        assert "128" in seen[kind]["message"], kind
    for kind in ("unknown_checkpoint", "unknown_sampler_checkpoint"):
        assert seen[kind]["status"] == 404, kind
    assert seen["usable"]["type"] is None


def test_bad_batches_leave_nothing_behind(client: Client, context: int) -> None:
    seen = client.run("mistakes.batches", base_model=BASE_MODEL, context=context)
    assert len(seen["failures"]) >= 10
    words = {
        "unknown_loss": "cross_entropy",
        "unknown_config": "no_such_key",
        "unknown_policy_config": "clip_low_threshold",
        "missing_advantages": "advantages",
        "too_long": str(context),
    }
    for kind, failed in seen["failures"].items():
        assert failed["type"] == "RequestFailedError", (kind, failed)
        assert failed["category"] == "user", (kind, failed)
        assert words.get(kind, "") in failed["message"], (kind, failed)
        assert "Traceback" not in failed["message"], kind
    assert seen["disturbed"] == seen["undisturbed"]


def test_bad_steps(client: Client) -> None:
    seen = client.run("mistakes.steps", base_model=BASE_MODEL)
    assert seen["usable"]["type"] is None
    for kind in ("negative_rate", "beta_1"):
        assert (seen[kind]["type"], seen[kind]["category"]) == ("RequestFailedError", "user")


def test_a_run_survives_names_with_a_nul(client: Client) -> None:
    seen = client.run("mistakes.names", base_model=BASE_MODEL)
    for kind in ("of_a_state", "of_sampler_weights", "of_a_load"):
        assert "NUL" in seen[kind]["message"], (kind, seen[kind])
        assert (seen[kind]["type"], seen[kind]["category"]) == ("RequestFailedError", "user")
    assert seen["usable"]["type"] is None


def test_bad_samples(client: Client, context: int) -> None:
    seen = client.run("mistakes.samples", base_model=BASE_MODEL, context=context)
    assert seen.pop("usable")["type"] is None
    for kind, failed in seen.items():
        assert (failed["type"], failed["category"]) == ("RequestFailedError", "user"), kind


def test_other_teams(client: Client, other_key: str, http: httpx.Client) -> None:
    own = client.run("mistakes.own", base_model=BASE_MODEL)
    seen = client.run(
        "mistakes.foreign",
        api_key=other_key,
        path=own["path"],
        sampler_path=own["sampler_path"],
    )
    assert seen["state"]["status"] == seen["sampler"]["status"] == 404
    run, sampler = own["run"], own["run"].replace(":train:", ":sampler:")
    batch = wire_pb2.ForwardBackwardRequest(model_id=run, seq_id=9).SerializeToString()
    for headers, expected in (({"X-API-Key": other_key}, 404), ({}, 200)):
        assert (
            http.post("get_info", json={"model_id": run}, headers=headers).status_code == expected
        )
        shown = http.get(f"training_runs/{run}", headers=headers)
        assert shown.status_code == expected
    for address, body in (
        ("optim_step", {"model_id": run, "seq_id": 9}),
        ("save_weights", {"model_id": run, "seq_id": 9, "path": "x"}),
        ("retrieve_future", {"request_id": f"{run}:0"}),
        ("asample", {"sampling_session_id": sampler, "seq_id": 0}),
    ):
        response = http.post(address, json=body, headers={"X-API-Key": other_key})
        assert response.status_code == 404, address
    sent = {"X-API-Key": other_key, "Content-Type": PROTOBUF}
    assert http.post("forward_backward", content=batch, headers=sent).status_code == 404


class _Raw:
    """One HTTP request written by hand, so that its body need not be as long as it says."""

    def __init__(self, stack: LiveStack) -> None:
        parts = urlsplit(stack.url)
        assert parts.hostname
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), timeout=10)
        self.key = stack.api_key

    def send(self, address: str, length: int, beginning: bytes) -> tuple[int, dict[str, Any]]:
        """(status, body) of the reply to a request of which only the beginning is sent."""
        head = (
            f"POST /api/v1/{address} HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {self.key}\r\n"
            f"Content-Type: {PROTOBUF}\r\nContent-Length: {length}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + beginning)
        reply = b""
        while b"\r\n\r\n" not in reply:
            reply += self.socket.recv(65536)
        headers, _, body = reply.partition(b"\r\n\r\n")
        lines = headers.decode().lower().split("\r\n")
        size = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
        while len(body) < size:
            body += self.socket.recv(65536)
        return int(lines[0].split()[1]), json.loads(body)


def test_bodies_over_the_limit(http: httpx.Client, live_stack: LiveStack) -> None:
    session = http.post("create_session", json={}).json()["session_id"]
    run = http.post(
        "create_model",
        json={
            "session_id": session,
            "model_seq_id": 0,
            "base_model": BASE_MODEL,
            "lora_config": {"rank": 4},
        },
    ).json()["model_id"]
    beginning = wire_pb2.ForwardBackwardRequest(model_id=run, seq_id=1).SerializeToString()
    raw = _Raw(live_stack)
    status, body = raw.send("forward_backward", 2**40, beginning + b"\x1a\xff\xff\xff\xff\x0f")
    assert status == 413
    assert "several requests" in body["detail"]
    raw.socket.close()
    # the run does not wait for what was refused
    step = http.post("optim_step", json={"model_id": run, "seq_id": 2, "adam_params": {}}).json()
    result = http.post("retrieve_future", json=step | {"model_id": None}, timeout=60)
    assert result.status_code == 200
    assert "error" not in result.json()
    refused = http.post("retrieve_future", json={"request_id": f"{run}:1"}, timeout=60).json()
    assert refused["category"] == "user"


def test_a_refused_body_may_be_sent_to_its_end(http: httpx.Client, live_stack: LiveStack) -> None:
    raw = _Raw(live_stack)
    length = 2**29
    assert raw.send("telemetry", length, b"")[0] == 413
    block = bytes(2**20)
    for _ in range(length // len(block)):
        raw.socket.sendall(block)
    assert raw.send("telemetry", 2, b"{}") == (200, {"status": "accepted"})


def test_a_missing_worker_is_named(http: httpx.Client, administrator: Administrator) -> None:
    session = http.post("create_session", json={}).json()["session_id"]
    submitted = http.post(
        "create_model",
        json={
            "session_id": session,
            "model_seq_id": 0,
            "base_model": administrator.add_unserved_model(),
            "lora_config": {"rank": 4},
        },
    )
    request = {"request_id": submitted.json()["request_id"]}
    started = time.monotonic()
    response = http.post("retrieve_future", json=request, timeout=40)
    assert 2 < time.monotonic() - started < 15
    assert response.status_code == 408
    assert response.json()["queue_state"] == "paused_capacity"
    assert "no worker" in response.json()["queue_state_reason"]
