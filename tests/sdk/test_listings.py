"""RestClient, AdminClient, credentials and downloads, as far as no platform is needed."""

from __future__ import annotations

import base64
import io
import json
import os
import tarfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

import tinsmith
from tests.sdk.stub import Answer, Stub
from tinsmith import errors
from tinsmith._clients import rest as rest_client
from tinsmith._http import downloads
from tinsmith._settings import credentials, settings
from tinsmith.types import SessionSearchRequest
from tinsmith.types.sessions import ClientFinishedSessionStatusQuery

PATH = "tinker://s:train:0/weights/w1"
ROUTE = "training_runs/s:train:0/checkpoints/weights/w1"
RUN = {
    "training_run_id": "s:train:0",
    "base_model": "stub/tiny",
    "model_owner": "team",
    "is_lora": True,
    "last_request_time": "2026-01-01T00:00:00Z",
    "later_field": 1,
}


@pytest.fixture
def rest(stub: Stub) -> Any:
    retry = tinsmith.RetryConfig(budget_s=1.0, first_delay_s=0.01)
    with tinsmith.RestClient(base_url=stub.url, api_key="tml-x", retry_config=retry) as client:
        yield client


def test_requests_are_those_of_the_protocol(stub: Stub, rest: tinsmith.RestClient) -> None:
    ttl, project = b'{"ttl_seconds":null}', b'{"project_id":"p"}'
    expected: list[tuple[Any, str, str, bytes]] = [
        (lambda: rest.delete_checkpoint_from_tinker_path(PATH), "DELETE", ROUTE, b""),
        (lambda: rest.publish_checkpoint_from_tinker_path(PATH), "POST", f"{ROUTE}/publish", b""),
        (
            lambda: rest.unpublish_checkpoint_from_tinker_path(PATH),
            "DELETE",
            f"{ROUTE}/publish",
            b"",
        ),
        (lambda: rest.set_checkpoint_ttl_from_tinker_path(PATH, None), "PUT", f"{ROUTE}/ttl", ttl),
        (lambda: rest.assign_session_project("s", "p"), "PUT", "sessions/s/project", project),
    ]
    for ask, method, path, body in expected:
        stub.script(path, Answer(body={}))
        ask().result()
        call = stub.calls[-1]
        assert (call.method, call.path, call.body) == (method, path, body)
    assert not stub.of("create_session")
    assert not stub.of("client/config")


def test_lists_are_asked_for_by_query(stub: Stub, rest: tinsmith.RestClient) -> None:
    query = "training_runs?limit=2&offset=0&access_scope=accessible&project_id=a+b"
    cursor = {"offset": 0, "limit": 2, "total_count": 1}
    stub.script(query, Answer(body={"training_runs": [RUN], "cursor": cursor}))
    page = rest.list_training_runs(2, 0, "accessible", "a b").result()
    assert page.training_runs[0].last_request_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert (page.cursor.total_count, page.training_runs[0].corrupted) == (1, False)

    event = {"type": "sampling_prefill", "cached": True, "token_count": 3}
    moment = "2026-01-01T05%3A00%3A00%2B00%3A00"
    stub.script(
        f"billing/usage/events?starting_on={moment}&ending_before={moment}",
        Answer(
            body={
                "data": [
                    {
                        "bucket_start": "2026-01-01T05:00:00Z",
                        "bucket_end": "2026-01-01T06:00:00Z",
                        "event_info": event,
                    }
                ]
            }
        ),
    )
    usage = rest.get_billing_usage("2026-01-01T05:00:00Z", datetime(2026, 1, 1, 5)).result()
    assert (usage.data[0].event_info.type, usage.sessions) == ("sampling_prefill", {})


def test_a_search_leaves_out_what_is_not_asked(stub: Stub, rest: tinsmith.RestClient) -> None:
    summary = {
        "session_id": "s",
        "created_at": "2026-01-01T00:00:00Z",
        "owner": "team",
        "project_id": "default",
        "checkpoints_count": 0,
        "status": {"type": "client_finished", "reason": {"type": "errored"}, "detail": "x"},
    }
    stub.script("sessions/search", Answer(body={"sessions": [summary]}))
    wanted = SessionSearchRequest(statuses=[ClientFinishedSessionStatusQuery(reasons=["errored"])])
    found = rest.search_sessions(wanted).result().sessions[0]
    assert found.status is not None
    assert (found.status.type, found.status.reason.type) == ("client_finished", "errored")
    assert stub.of("sessions/search")[0].json() == {
        "user_metadata": {},
        "owner": {"type": "own"},
        "statuses": [{"type": "client_finished", "reasons": ["errored"]}],
        "limit": 50,
    }


def test_a_copy_keeps_its_idempotency_key_over_retries(
    stub: Stub, rest: tinsmith.RestClient
) -> None:
    made = Answer(body={"tinker_path": "tinker://n/weights/w1"})
    stub.script("copy_weights", Answer(503), Answer(drop=True), made)
    copied = rest.copy_weights(PATH, "p", ttl_seconds=3600, weights_access_token="t").result()
    assert copied == "tinker://n/weights/w1"
    calls = stub.of("copy_weights")
    assert len({call.headers["x-idempotency-key"] for call in calls}) == 1
    assert {call.headers["x-tinker-weights-access-token"] for call in calls} == {"t"}
    body = {"source_path": PATH, "destination_project_id": "p", "ttl_seconds": 3600}
    assert calls[0].json() == body


def test_a_trace_is_waited_for(
    stub: Stub, rest: tinsmith.RestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_client, "TRACE_POLL_S", 0.01)
    pending, ready = Answer(body={"status": "pending"}), {"status": "ready", "url": "http://x/t"}
    stub.script("sessions/s/trace_export", pending, pending, Answer(body=ready))
    assert rest.export_session_trace("s").result() == "http://x/t"
    failed = {"status": "failed", "error": "no room"}
    stub.script("sessions/s/trace_export", Answer(body=failed))
    with pytest.raises(tinsmith.RequestFailedError, match="no room"):
        rest.export_session_trace("s").result()


def test_whoami_reads_the_token(stub: Stub, rest: tinsmith.RestClient) -> None:
    claims = base64.urlsafe_b64encode(json.dumps({"sub": "u", "org_id": "o"}).encode()).decode()
    stub.script("auth/token", Answer(body={"jwt": f"e30.{claims.rstrip('=')}.x"}))
    me = rest.whoami().result()
    assert (me.user_urn, me.org_urn, me.email) == ("u", "tml:organization:o", None)
    stub.script("auth/token", Answer(body={"jwt": "nonsense"}))
    with pytest.raises(tinsmith.APIResponseValidationError, match="token"):
        rest.whoami().result()


def test_what_is_no_path_is_refused_before_anything_is_sent(
    stub: Stub, rest: tinsmith.RestClient
) -> None:
    with pytest.raises(ValueError, match=r"tinker://<run>"):
        rest.delete_checkpoint_from_tinker_path("weights/w1")
    assert not stub.calls


# ---- credentials


def test_a_stored_key_goes_to_its_own_server_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("BASE_URL", "API_KEY"):
        for prefix in ("TINSMITH", "TINKER"):
            monkeypatch.delenv(f"{prefix}_{name}", raising=False)
    monkeypatch.setenv("TINSMITH_CREDENTIALS_FILE", str(tmp_path / "kept" / "keys.json"))
    with pytest.raises(errors.ConfigurationError, match="tinsmith login"):
        settings.resolve()
    credentials.store("http://a:1", "tml-a")
    credentials.store("http://b:1", "tml-b", name="laptop")
    assert os.stat(credentials.path()).st_mode & 0o777 == 0o600
    assert (settings.resolve().base_url, settings.resolve().api_key) == ("http://b:1", "tml-b")
    assert settings.resolve("http://a:1/").api_key == "tml-a"
    with pytest.raises(errors.ConfigurationError, match="http://c:1"):
        settings.resolve("http://c:1")
    monkeypatch.setenv("TINKER_API_KEY", "tml-k")
    assert settings.resolve("http://a:1").api_key == "tml-k"
    monkeypatch.setenv("TINSMITH_API_KEY", "tml-s")
    assert settings.resolve("http://a:1").api_key == "tml-s"
    assert credentials.forget("http://b:1")
    assert not credentials.forget("http://b:1")
    assert credentials.default_server() == "http://a:1"
    credentials.path().write_text("nonsense")
    with pytest.raises(errors.ConfigurationError, match="no JSON"):
        credentials.default_server()


# ---- downloads


def archive(*members: tuple[str, bytes | None]) -> bytes:
    """A tar file; None makes a link of a member."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            member = tarfile.TarInfo(name)
            if content is None:
                member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content or b""))
    return out.getvalue()


def offer(stub: Stub, body: bytes) -> None:
    url = f"{stub.url}/api/v1/file"
    stub.script(f"{ROUTE}/archive", Answer(body={"url": url, "expires": "2030-01-01T00:00:00Z"}))
    stub.script("file", Answer(body=body, content_type="application/x-tar"))


def test_a_download_is_whole_or_not_there(
    stub: Stub, rest: tinsmith.RestClient, tmp_path: Path
) -> None:
    reports: list[tuple[int, int | None]] = []
    content = archive(("adapter_config.json", b"{}"), ("deep/er.bin", b"x" * 70_000))
    offer(stub, content)
    folder = rest.download_checkpoint(
        PATH, tmp_path / "got", progress=lambda *report: reports.append(report)
    )
    assert (folder / "adapter_config.json").read_bytes() == b"{}"
    assert len((folder / "deep/er.bin").read_bytes()) == 70_000
    assert sorted(path.name for path in folder.iterdir()) == ["adapter_config.json", "deep"]
    assert reports[-1] == (len(content), len(content))
    assert "x-api-key" not in stub.of("file")[0].headers

    with pytest.raises(FileExistsError):
        rest.download_checkpoint(PATH, folder)
    for bad in (archive(("../out", b"")), archive(("/abs", b"")), archive(("l", None)), b"no tar"):
        offer(stub, bad)
        with pytest.raises(tinsmith.APIResponseValidationError):
            rest.download_checkpoint(PATH, tmp_path / "bad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["got"]


def test_names_that_lead_out_of_the_folder_are_refused(tmp_path: Path) -> None:
    for name in ("../x", "/x", "a/../../x", "c:x", ""):
        with pytest.raises(tinsmith.APIResponseValidationError, match="leads out"):
            downloads.fetch_files({name: "http://127.0.0.1:9/x"}, tmp_path / "new", False)
    assert not list(tmp_path.iterdir())
