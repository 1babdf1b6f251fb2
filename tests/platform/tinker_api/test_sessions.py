"""Start-up, sessions and what there is on offer."""

from __future__ import annotations

from pathlib import Path

from catalog.models import BaseModel
from runs.models import Session
from tests.platform.tinker_api.conftest import BASE_MODEL, Api


async def test_health(api: Api) -> None:
    response = await api.get("healthz", headers={"X-API-Key": ""})
    assert response.json() == {"status": "ok"}


async def test_configuration(api: Api) -> None:
    config = (await api.call("client/config", sdk_version="0.38.0", later_field=1)).json()
    assert config["parallel_fwdbwd_chunks"] is True
    assert config["pjwt_auth_enabled"] is True
    dynamic = (await api.call("client/dynamic_config", sdk_version="0.38.0")).json()
    assert dynamic["refresh_interval_sec"] >= 10


async def test_capabilities(api: Api) -> None:
    assert (await api.get("get_server_capabilities")).json() == {
        "supported_models": [
            {
                "model_name": BASE_MODEL,
                "max_context_length": 128,
                "trainable": True,
                "sampleable": True,
                "hidden_size": 192,
            }
        ]
    }


async def test_a_sessions_life(api: Api) -> None:
    response = await api.call(
        "create_session",
        tags=["b", "a"],
        user_metadata={"lr": 0.1, "name": "x"},
        sdk_version="0.38.0",
        display_name="first",
        type="create_session",
    )
    session_id = response.json()["session_id"]
    session = await Session.objects.aget(id=session_id)
    assert (session.display_name, sorted(session.tags)) == ("first", ["a", "b"])
    assert session.user_metadata == {"lr": "0.1", "name": "x"}

    beat = await api.call("session_heartbeat", session_id=session_id, type="session_heartbeat")
    assert (beat.status_code, beat.json()) == (200, {"type": "session_heartbeat"})
    for reason in ("success", "errored"):
        ended = await api.call(
            f"sessions/{session_id}/finish", reason={"type": reason}, detail=None
        )
        assert ended.status_code == 200
    await session.arefresh_from_db()
    assert session.end_reason == "success"
    gone = await api.call("session_heartbeat", session_id=session_id)
    assert gone.status_code == 410


async def test_old_clients_send_nulls_and_no_type(api: Api) -> None:
    response = await api.call(
        "create_session", tags=None, user_metadata=None, sdk_version="0.3.0", project_id=None
    )
    assert response.status_code == 200


async def test_an_unknown_reason_is_refused(api: Api) -> None:
    session_id = await api.session()
    response = await api.call(f"sessions/{session_id}/finish", reason={"type": "bored"})
    assert response.status_code == 400
    assert "success, errored, interrupted" in response.json()["detail"]
    assert (await Session.objects.aget(id=session_id)).ended_at is None


async def test_other_teams_sessions_are_not_found(api: Api, other_api: Api) -> None:
    session_id = await api.session()
    assert (await other_api.call("session_heartbeat", session_id=session_id)).status_code == 404
    ended = await other_api.call(f"sessions/{session_id}/finish", reason={"type": "errored"})
    assert ended.status_code == 404
    assert (await Session.objects.aget(id=session_id)).ended_at is None


async def test_telemetry_is_dropped(api: Api) -> None:
    response = await api.call("telemetry", events=[{"event": "SESSION_START"}], platform="x")
    assert response.json() == {"status": "accepted"}


async def test_the_tokenizer_comes_from_the_models_folder(api: Api, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    (tmp_path / "chat_template.jinja").write_text("{{ é }}")
    (tmp_path / "config.json").write_text("not for clients")
    await BaseModel.objects.filter(name=BASE_MODEL).aupdate(tokenizer_id=str(tmp_path))
    response = await api.get(f"models/{BASE_MODEL}/tokenizer")
    assert response.json()["files"] == {"tokenizer.json": "{}", "chat_template.jinja": "{{ é }}"}


async def test_an_unknown_models_tokenizer_names_the_known_ones(api: Api) -> None:
    response = await api.get("models/no/such/tokenizer")
    assert response.status_code == 404
    assert BASE_MODEL in response.json()["detail"]


async def test_a_tokenizer_that_is_nowhere(api: Api) -> None:
    response = await api.get(f"models/{BASE_MODEL}/tokenizer")
    assert response.status_code == 404
    assert "could not be fetched" in response.json()["detail"]
