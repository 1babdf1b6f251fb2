"""What people get wrong before anything reaches a server: each is told what, where, and what to do.

Mistakes that only a server can see stand in tests/contract/test_messages.py, with these again.
"""

from __future__ import annotations

import copy
import dataclasses
import inspect
import logging
import pickle
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tinsmith
from tests.sdk.messages import MISTAKES, NEVER, Mistake, People
from tests.sdk.stub import BASE_MODEL, Answer, Stub
from tests.sdk.test_http1 import CERTIFICATE
from tests.support.waiting import eventually
from tinsmith import RetryConfig, ServiceClient, types

PROMPT = types.ModelInput.from_ints([1, 2, 3])
NO_PATIENCE = RetryConfig(budget_s=0.0)


@pytest.fixture
def people(stub: Stub, service: ServiceClient) -> People:
    """What somebody who makes a mistake has at hand."""
    training = service.create_lora_training_client(BASE_MODEL, rank=4)
    sampler = service.create_sampling_client(base_model=BASE_MODEL)
    return People(stub.url, BASE_MODEL, service, training, sampler)


@pytest.mark.parametrize(
    "mistake", [row for row in MISTAKES if not row.needs_server], ids=lambda row: row.name
)
def test_a_mistake_is_told_in_the_users_words(mistake: Mistake, people: People) -> None:
    mistake.check(people)


def test_the_run_goes_on_after_every_mistake(stub: Stub, people: People) -> None:
    for mistake in MISTAKES:
        if not mistake.needs_server:
            mistake.check(people)
    people.training.optim_step().result(5)
    numbers = [seq for seq, _ in stub.order]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))


# ---- every class and method


def public_calls() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Constructors and methods of all that users make or are given."""
    kinds = {getattr(tinsmith, name) for name in tinsmith.__all__}
    kinds |= {getattr(types, name) for name in types.__all__}
    for kind in sorted(
        (kind for kind in kinds if inspect.isclass(kind)), key=lambda kind: kind.__name__
    ):
        if issubclass(kind, BaseException | dict | str) or not kind.__module__.startswith("tins"):
            continue  # errors are made by the SDK alone
        yield kind.__name__, kind
        for name, member in inspect.getmembers_static(kind):
            if not name.startswith("_") and not isinstance(member, property | cached_property):
                call = getattr(kind, name)
                if inspect.isroutine(call):
                    yield f"{kind.__name__}.{name}", call


CALLS = dict(public_calls())


def test_the_list_of_public_calls_holds_what_people_use() -> None:
    assert {"AdamParams", "Datum.from_tokens", "TrainingClient.save_state"} <= set(CALLS)
    assert {"RestClient.list_training_runs", "APIFuture.result", "TensorData"} <= set(CALLS)
    assert len(CALLS) > 200


@pytest.mark.parametrize("name", CALLS)
async def test_a_wrong_keyword_is_answered_with_the_nearest_right_one(name: str) -> None:
    call = CALLS[name]
    takes = [
        item.name
        for item in inspect.signature(call).parameters.values()
        if item.name not in ("self", "cls")
    ]
    if any(item.kind is item.VAR_KEYWORD for item in inspect.signature(call).parameters.values()):
        return  # takes any name, as Datum.from_tokens does
    wrong = f"{takes[0]}x" if takes else "nonsense"

    async def make() -> None:
        made = call(**{wrong: 1})
        if inspect.isawaitable(made):
            await made

    with pytest.raises(TypeError) as caught:
        await make()
    words = str(caught.value)
    assert f"takes no {wrong!r}" in words
    assert not takes or f"did you mean {takes[0]}=?" in words
    assert all(bad not in words for bad in NEVER)


@pytest.mark.parametrize("kind", [types.AdamParams, types.SamplingParams, types.LoraConfig])
def test_numbers_of_other_libraries_are_numbers(kind: Any) -> None:
    fields = {"AdamParams": "learning_rate", "SamplingParams": "temperature", "LoraConfig": "rank"}
    name = fields[kind.__name__]
    for given in (np.float32(2.0), torch.tensor(2.0), np.int64(2), 2):
        if name == "rank" and not hasattr(given, "__index__"):
            continue
        if name == "rank" and isinstance(given, torch.Tensor):
            continue
        assert getattr(kind(**{name: given}), name) == 2
    with pytest.raises(TypeError, match=rf"{name} must be a (whole )?number, not text"):
        kind(**{name: "2"})


def test_what_is_explained_can_still_be_copied_and_pickled() -> None:
    datum = types.Datum.from_tokens([1, 2, 3])
    for value in (PROMPT, types.AdamParams(learning_rate=1.0), datum, RetryConfig(budget_s=1.0)):
        again = pickle.loads(pickle.dumps(copy.deepcopy(value)))
        assert repr(again) == repr(value)
    assert dataclasses.replace(RetryConfig(), budget_s=5.0).budget_s == 5.0


# ---- what is shown


def test_a_notebook_shows_what_a_person_wants_to_see(stub: Stub, service: ServiceClient) -> None:
    assert repr(types.ModelInput.from_ints(list(range(100_000)))) == (
        "ModelInput(100000 tokens [0, 1, 2, 3, 4, …, 99999])"
    )
    assert repr(types.Datum.from_tokens([5, 6, 7])) == (
        "Datum(ModelInput(2 tokens [5, 6]), target_tokens=int64[2], weights=float32[2])"
    )
    image = types.ImageChunk(data=bytes(1_000_000), format="png")
    assert repr(types.ModelInput(chunks=[image])) == "ModelInput(ImageChunk(png, 1000000 bytes))"
    assert repr(service) == f"<ServiceClient of {stub.url}, no session yet>"
    training = service.create_lora_training_client(BASE_MODEL, rank=4)
    training.result(5)
    assert repr(training).startswith("<TrainingClient ")
    assert f":train:0 of {BASE_MODEL}" in repr(training)
    sampler = service.create_sampling_client(base_model=BASE_MODEL)
    drawn = sampler.sample(PROMPT, 3, types.SamplingParams(max_tokens=200))
    drawn.result(5)
    assert f":sample:0 of {BASE_MODEL}>" in repr(sampler)
    assert repr(drawn).startswith("<SampleFuture: done: SampleResponse([SampledSequence(200 tokens")
    assert len(repr(drawn)) < 300
    assert "… 1 more" in repr(drawn.result())
    passed = training.forward_backward([types.Datum.from_tokens([1, 2, 3])] * 9, "cross_entropy")
    assert repr(passed.result(5)) == "ForwardBackwardOutput(9 datums, loss:sum=45)"
    stub.results[f"{training.model_id}:2"] = Answer(408, {})
    waiting = training.optim_step()
    assert repr(waiting) == "<APIFuture: not done yet; .result() waits for it>"
    stub.results[f"{training.model_id}:2"] = Answer(body={"error": "no such thing"})
    waiting.exception(10)
    assert repr(waiting) == "<APIFuture: failed: RequestFailedError: no such thing>"
    assert repr(service.create_rest_client()) == f"<RestClient of {stub.url}>"
    service.close().result(5)
    assert repr(service) == f"<ServiceClient of {stub.url}, closed>"


# ---- the address


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("localhost:8000", "did you mean http://localhost:8000?"),
        ("http://host:8000/v1", "goes without /v1: http://host:8000 instead"),
        ("http://host:8000/api/v1/", "goes without /api/v1: http://host:8000 instead"),
        ("http://host:80a", "is no address"),
        ("ftp://host", "must look like http://host:port"),
    ],
)
def test_an_address_that_cannot_be_right_is_refused_before_anything_is_sent(
    given: str, words: str
) -> None:
    with pytest.raises(tinsmith.ConfigurationError) as caught:
        ServiceClient(base_url=given, api_key="tml-x")
    assert words in str(caught.value)
    assert "base_url= or TINSMITH_BASE_URL" in str(caught.value)


def ask(url: str, patience: RetryConfig = NO_PATIENCE) -> str:
    """What somebody reads who asks at an address where no server of ours is."""
    service = ServiceClient(base_url=url, api_key="tml-x", retry_config=patience)
    with pytest.raises(tinsmith.APIConnectionError) as caught:
        service.get_server_capabilities()
    assert url in str(caught.value)
    assert "TINSMITH_BASE_URL" in str(caught.value)
    return str(caught.value)


@contextmanager
def listening(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port at which `answer` deals with every connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    try:
                        answer(connection)
                    except OSError:
                        continue

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def test_https_to_a_server_without_tls_is_told_at_once(stub: Stub) -> None:
    words = ask(stub.url.replace("http:", "https:"), RetryConfig(budget_s=60.0))
    assert "write http:// instead of https://" in words


def test_http_to_a_server_with_tls_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "server.pem").write_text(CERTIFICATE)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "server.pem")

    def silent(connection: socket.socket) -> None:  # as uvicorn is
        if connection.recv(1, socket.MSG_PEEK)[:1] == b"\x16":
            context.wrap_socket(connection, server_side=True)

    def alerting(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"\x15\x03\x01\x00\x02\x02\x46")

    def explaining(connection: socket.socket) -> None:  # as nginx does
        connection.recv(1 << 16)
        said = b"The plain HTTP request was sent to HTTPS port"
        head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n"
        connection.sendall(head % len(said) + said)

    for answer in (silent, alerting, explaining):
        with listening(answer) as port:
            words = ask(f"http://127.0.0.1:{port}", RetryConfig(budget_s=60.0))
        assert "write https:// instead of http://" in words


def test_a_server_that_is_not_ours_is_told_at_once(stub: Stub) -> None:
    page = b"<html><title>Grafana</title></html>"
    for status in (200, 401, 403, 404, 405):
        stub.calls.clear()
        stub.script("get_server_capabilities", Answer(status, page, content_type="text/html"))
        words = ask(stub.url, RetryConfig(budget_s=60.0))
        assert (
            f"is no Tinsmith server: to GET /api/v1/get_server_capabilities it says HTTP {status}"
            in words
        )
        assert "Grafana" in words
        assert len(stub.calls) == 1
    stub.script(
        "get_server_capabilities", Answer(301, headers={"Location": "https://new.example/"})
    )
    assert "sends elsewhere (HTTP 301 to https://new.example/)" in ask(stub.url)

    def shell(connection: socket.socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

    with listening(shell) as port:
        assert "does not speak HTTP/1.1" in ask(f"http://127.0.0.1:{port}")


def test_a_proxys_page_between_answers_of_ours_is_no_other_server(
    stub: Stub, people: People
) -> None:
    people.training.result(5)
    page = Answer(403, b"<title>Blocked</title>", content_type="text/html")
    stub.script("optim_step", page)
    with pytest.raises(tinsmith.PermissionDeniedError, match="Blocked"):
        people.training.optim_step().result(5)


def test_another_apis_404_asks_whether_it_is_the_right_server(
    stub: Stub, service: ServiceClient
) -> None:
    stub.script("get_server_capabilities", Answer(404, {"detail": "Not Found"}))
    with pytest.raises(tinsmith.NotFoundError, match="is it a Tinsmith server") as caught:
        service.get_server_capabilities()
    assert stub.url in str(caught.value)


# ---- a server that is away


def test_a_server_that_is_away_is_told_before_patience_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    caplog.set_level(logging.WARNING, "tinsmith")
    service = ServiceClient(base_url=url, api_key="tml-x", retry_config=RetryConfig(budget_s=200.0))
    asked = service.create_lora_training_client("any/model")
    eventually(lambda: caplog.messages, within_s=20.0)
    assert f"cannot reach {url}" in caplog.messages[0]
    assert "Is the server running?" in caplog.messages[0]
    assert "going on trying for up to 19" in caplog.messages[0]
    assert not asked._created.done()
    service.close()
    assert len(caplog.messages) == 1


def test_a_server_that_takes_its_time_is_told_too_and_its_return(
    stub: Stub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tinsmith._http.outage.SAY_AFTER_S", 0.1)
    caplog.set_level(logging.WARNING, "tinsmith")
    stub.script("get_server_capabilities", Answer(delay_s=0.5, status=0))
    service = ServiceClient(base_url=stub.url, api_key="tml-x")
    service.get_server_capabilities()
    assert [f"{stub.url} does not answer. That" in caplog.messages[0], len(caplog.messages)] == [
        True,
        2,
    ]
    assert f"{stub.url} answers again" in caplog.messages[1]
    service.get_server_capabilities()
    assert len(caplog.messages) == 2
