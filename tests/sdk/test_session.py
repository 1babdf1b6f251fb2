"""The session: opened once, kept alive, finished; and where settings come from."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap

import pytest

import tinsmith
from tests.sdk.stub import BASE_MODEL, SESSION, Answer, Stub
from tests.support.waiting import eventually, never
from tinsmith._http import transport
from tinsmith._session import session
from tinsmith._settings import settings

FINISH = f"sessions/{SESSION}/finish"


def test_nothing_is_sent_before_something_is_asked_for(stub: Stub) -> None:
    service = tinsmith.ServiceClient(base_url=stub.url, api_key="tml-x")
    assert stub.calls == []
    assert service.get_server_capabilities().supported_models[0].model_name == BASE_MODEL
    assert asyncio.run(service.get_server_capabilities_async()).supported_models
    assert {call.path for call in stub.calls} == {"get_server_capabilities"}
    service.close().result(5)
    assert stub.of(FINISH) == []  # there was no session


def test_one_session_for_all_clients(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TINSMITH_TAGS", "a,b")
    service = tinsmith.ServiceClient(
        {"exp": "x"}, "proj", display_name="mine", base_url=stub.url, api_key="tml-x"
    )
    clients = [service.create_lora_training_client(BASE_MODEL) for _ in range(5)]
    assert len({client.model_id for client in clients}) == 5
    assert len(stub.of("create_session")) == len(stub.of("client/config")) == 1
    body = stub.of("create_session")[0].json()
    assert sorted(body.pop("tags")) == ["a", "b"]
    assert body == {
        "user_metadata": {"exp": "x"},
        "sdk_version": tinsmith.__version__,
        "project_id": "proj",
        "display_name": "mine",
        "type": "create_session",
    }
    service.close("interrupted", "bye").result(5)
    assert stub.of(FINISH)[0].json() == {"reason": {"type": "interrupted"}, "detail": "bye"}


def test_a_session_that_could_not_be_opened_is_tried_again(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    stub.script("create_session", Answer(401, {"detail": "Invalid API key"}))
    with pytest.raises(tinsmith.AuthenticationError, match=r"Invalid API key.*TINSMITH_API_KEY"):
        service.create_lora_training_client(BASE_MODEL).result(5)
    assert service.create_lora_training_client(BASE_MODEL).result(5).model_id


def test_a_server_without_client_config_has_the_usual_limits(
    stub: Stub, service: tinsmith.ServiceClient
) -> None:
    stub.script("client/config", Answer(404, {"detail": "Not Found"}))
    assert service.create_lora_training_client(BASE_MODEL).result(5)


def test_heartbeats_go_on_until_the_server_says_the_session_is_over(
    stub: Stub, service: tinsmith.ServiceClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session, "HEARTBEAT_S", 0.05)
    training = service.create_lora_training_client(BASE_MODEL).result(5)
    stub.script("session_heartbeat", Answer(200, {}), Answer(503), Answer(drop=True))
    eventually(lambda: len(stub.of("session_heartbeat")) >= 6)
    assert stub.of("session_heartbeat")[0].json()["session_id"] == SESSION
    stub.script("session_heartbeat", Answer(410, {"detail": "the session has expired"}))
    eventually(lambda: service._session._ended is not None)
    with pytest.raises(tinsmith.SessionClosedError, match="the session has expired"):
        training.optim_step()
    count = len(stub.of("session_heartbeat"))
    other = tinsmith.ServiceClient(base_url=stub.url, api_key="tml-x")
    never(
        lambda: len(stub.of("session_heartbeat")) > count,
        for_s=0.2,
        but_after=lambda: other.create_lora_training_client(BASE_MODEL).result(5),
    )
    other.close().result(5)


def test_with_blocks_say_how_they_ended(stub: Stub) -> None:
    def client() -> tinsmith.ServiceClient:
        return tinsmith.ServiceClient(base_url=stub.url, api_key="tml-x")

    with client() as service:
        service.create_lora_training_client(BASE_MODEL).result(5)

    def plain() -> None:
        with client() as service:
            service.create_lora_training_client(BASE_MODEL).result(5)
            raise ZeroDivisionError("oh")

    with pytest.raises(ZeroDivisionError):
        plain()

    async def asynchronous() -> None:
        async with client() as service:
            await service.create_lora_training_client_async(BASE_MODEL)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        asyncio.run(asynchronous())
    reasons = [call.json() for call in stub.of(FINISH)]
    assert [reason["reason"]["type"] for reason in reasons] == ["success", "errored", "interrupted"]
    assert reasons[1]["detail"] == "ZeroDivisionError: oh"


def test_a_closed_client_says_so(stub: Stub, service: tinsmith.ServiceClient) -> None:
    training = service.create_lora_training_client(BASE_MODEL).result(5)
    service.close().result(5)
    service.close().result(5)
    assert len(stub.of(FINISH)) == 1
    for use in (training.optim_step, service.get_server_capabilities, service.__enter__):
        with pytest.raises(tinsmith.SessionClosedError, match="new one"):
            use()


@pytest.mark.parametrize(
    ("ending", "reason"),
    [("", "success"), ("1/0", "errored"), ("raise KeyboardInterrupt", "interrupted")],
)
def test_a_program_that_ends_finishes_its_session(stub: Stub, ending: str, reason: str) -> None:
    program = f"""
        import tinsmith
        service = tinsmith.ServiceClient(base_url={stub.url!r}, api_key="tml-x")
        service.create_lora_training_client({BASE_MODEL!r}).result(10)
        {ending}
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60
    )
    assert (done.returncode == 0) == (reason == "success"), done.stderr
    assert b"tinsmith" not in done.stderr
    assert [call.json()["reason"]["type"] for call in stub.of(FINISH)] == [reason]


def test_a_program_that_fails_with_work_under_way_gives_it_up(stub: Stub) -> None:
    stub.results[f"{SESSION}:train:0:1"] = Answer(408, delay_s=0.1)
    program = f"""
        import tinsmith
        def begin():
            service = tinsmith.ServiceClient(base_url={stub.url!r}, api_key="tml-x")
            return service.create_lora_training_client({BASE_MODEL!r}).result(10)
        training = begin()  # the ServiceClient itself is gone
        training.optim_step().result(0.5)
    """
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, timeout=60
    )
    assert stub.of(FINISH)[0].json()["reason"] == {"type": "errored"}
    assert stub.of(FINISH)[0].json()["detail"].startswith("TimeoutError: no result within")


def test_a_program_that_ends_with_work_under_way_does_not_cut_it_off(stub: Stub) -> None:
    stub.results[f"{SESSION}:train:0:1"] = Answer(408, delay_s=0.1)
    program = f"""
        import tinsmith
        service = tinsmith.ServiceClient(base_url={stub.url!r}, api_key="tml-x")
        step = service.create_lora_training_client({BASE_MODEL!r}).optim_step()
        input()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    eventually(lambda: stub.of("retrieve_future"), within_s=30)
    _, said = process.communicate(b"\n", timeout=60)
    assert process.returncode == 0
    assert b"still running" in said
    assert stub.of(FINISH) == []


def test_an_unreachable_server_is_named_with_what_to_do() -> None:
    service = tinsmith.ServiceClient(
        base_url="http://127.0.0.1:9",
        api_key="tml-x",
        retry_config=tinsmith.RetryConfig(budget_s=0.0),
    )
    with pytest.raises(tinsmith.APIConnectionError, match=r"127\.0\.0\.1:9.*TINSMITH_BASE_URL"):
        service.get_server_capabilities()


def test_a_server_that_stays_silent_is_given_up(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    stub.script("get_server_capabilities", *[Answer(delay_s=1.0)] * 9)
    monkeypatch.setattr(
        transport.Transport.call,
        "__kwdefaults__",
        {
            **(transport.Transport.call.__kwdefaults__ or {}),
            "timeout_s": 0.1,
        },
    )
    retry = tinsmith.RetryConfig(budget_s=0.3, first_delay_s=0.01)
    service = tinsmith.ServiceClient(base_url=stub.url, api_key="tml-x", retry_config=retry)
    with pytest.raises(tinsmith.APITimeoutError, match=r"within 0\.1 s"):
        service.get_server_capabilities()
    assert len(stub.calls) > 1


def test_errors_by_status_are_not_repeated(stub: Stub, service: tinsmith.ServiceClient) -> None:
    for status, kind in [
        (400, tinsmith.BadRequestError),
        (402, tinsmith.BillingError),
        (403, tinsmith.PermissionDeniedError),
        (404, tinsmith.NotFoundError),
        (409, tinsmith.ConflictError),
        (410, tinsmith.GoneError),
        (413, tinsmith.RequestTooLargeError),
        (418, tinsmith.APIStatusError),
        (422, tinsmith.UnprocessableEntityError),
    ]:
        stub.calls.clear()
        stub.script("get_server_capabilities", Answer(status, {"detail": f"no {status}", "x": 1}))
        with pytest.raises(kind, match=f"no {status}") as caught:
            service.get_server_capabilities()
        assert caught.value.status_code == status
        assert caught.value.detail == f"no {status}"
        assert caught.value.body == {"detail": f"no {status}", "x": 1}
        assert len(stub.calls) == 1
    stub.script("get_server_capabilities", Answer(404, b"<html>", content_type="text/html"))
    with pytest.raises(tinsmith.WrongServerError, match="HTTP 404, text/html"):
        service.get_server_capabilities()
    stub.script("get_server_capabilities", Answer(200, {"supported_models": 5}))
    with pytest.raises(tinsmith.APIResponseValidationError, match="get_server_capabilities"):
        service.get_server_capabilities()


def test_pauses_double_up_to_the_longest_and_follow_the_server() -> None:
    retry = tinsmith.RetryConfig(first_delay_s=1.0, max_delay_s=5.0, jitter=0.0)
    assert [retry.delay(attempt) for attempt in range(4)] == [1, 2, 4, 5]
    assert retry.delay(3, 0.5) == 0.5
    assert transport._retry_after({"retry-after": "7"}) == 7
    assert transport._retry_after({"retry-after-ms": "1500"}) == 1.5
    assert transport._retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) is None
    assert transport._retry_after({"retry-after": "soon"}) is None
    assert transport._retry_after({"retry-after": "3600"}) is None


def test_settings_come_from_the_argument_then_tinsmith_then_tinker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("TINSMITH_BASE_URL", "TINSMITH_API_KEY", "TINKER_BASE_URL", "TINKER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(tinsmith.ConfigurationError, match="TINSMITH_API_KEY"):
        tinsmith.ServiceClient()
    monkeypatch.setenv("TINKER_BASE_URL", "https://tinker.example/prefix/")
    monkeypatch.setenv("TINKER_API_KEY", "tml-tinker")
    assert settings.resolve() == settings.Settings("https://tinker.example/prefix", "tml-tinker")
    monkeypatch.setenv("TINSMITH_BASE_URL", "http://tinsmith.example")
    monkeypatch.setenv("TINSMITH_API_KEY", "tml-tinsmith")
    assert settings.resolve() == settings.Settings("http://tinsmith.example", "tml-tinsmith")
    found = settings.resolve("http://localhost:1", "tml-argument")
    assert found == settings.Settings("http://localhost:1", "tml-argument")
    assert found.is_loopback
    assert "tml-argument" not in repr(found)
    for wrong in ("localhost:8000", "ftp://x", "http://"):
        with pytest.raises(tinsmith.ConfigurationError, match="http://host:port"):
            settings.resolve(wrong)
    with pytest.raises(tinsmith.ConfigurationError, match="copied whole"):
        settings.resolve("http://x", "tml-…")


def test_a_path_prefix_and_own_headers_are_kept(stub: Stub) -> None:
    service = tinsmith.ServiceClient(
        base_url=f"{stub.url}/services/x/", api_key="tml-x", default_headers_overrides={"X-My": "1"}
    )
    with pytest.raises(tinsmith.NotFoundError):
        service.get_server_capabilities()
    assert stub.calls[0].path == "/services/x/api/v1/get_server_capabilities"
    assert stub.calls[0].headers["x-my"] == "1"
