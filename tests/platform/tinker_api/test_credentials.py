"""Keys that speak of themselves: exchange for tokens, what they are, their end."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

import pytest

from accounts import keys, tokens
from accounts.models import ApiKey, Team
from accounts.services import create_api_key, revoke_api_key
from audit.models import Entry
from runs.models import Session
from tests.platform.tinker_api.conftest import Api

CHALLENGE = 'Bearer error="invalid_token"'


async def token_of(api: Api) -> str:
    """A token for the client's key."""
    return (await api.call("auth/token")).json()["jwt"]


def part(token: str, index: int) -> dict[str, Any]:
    """The header (0) or the claims (1) of a token."""
    text = token.split(".")[index]
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


async def test_a_token_says_whose_it_is_and_opens_every_route(api: Api, team: Team) -> None:
    token = await token_of(api)
    claims = part(token, 1)
    assert part(token, 0)["alg"] == "HS256"
    assert claims["sub"] == f"tinsmith:team:{team.id}"
    assert (claims["org_id"], claims["email"]) == (str(team.id), "")
    assert claims["exp"] - claims["iat"] == tokens.LIFETIME_S
    assert abs(claims["iat"] - time.time()) < 5
    api.headers["X-API-Key"] = token
    session = await api.session()
    assert (await Session.objects.aget(id=session)).team_id == team.id


async def test_a_token_has_its_keys_scopes(api: Api, team: Team) -> None:
    def make() -> str:
        return create_api_key(team=team, name="s", scopes=["sample"]).text

    api.headers["X-API-Key"] = await asyncio.to_thread(make)
    api.headers["X-API-Key"] = await token_of(api)
    assert (await api.call("copy_weights")).status_code == 403


async def test_forged_and_expired_tokens_ask_for_a_new_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = await token_of(api)
    header, claims, signature = token.split(".")
    other = base64.urlsafe_b64encode(json.dumps(part(token, 1) | {"key_id": 1}).encode())
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    forged = [
        f"{header}.{claims}.{signature[:-2]}",
        f"{header}.{other.rstrip(b'=').decode()}.{signature}",
        f"{none}.{claims}.",
        f"{none}.{claims}.{signature}",
        "eyJ",
        "eyJ..",
        token + "é",
    ]
    for bad in forged:
        response = await api.get("sessions", headers=[(b"X-API-Key", bad.encode())])
        assert response.status_code == 401, bad
        assert response.headers["WWW-Authenticate"] == CHALLENGE
    later = time.time() + tokens.LIFETIME_S + 1
    monkeypatch.setattr(tokens.time, "time", lambda: later)
    response = await api.get("sessions", headers={"X-API-Key": token})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert "WWW-Authenticate" not in (await api.get("sessions", headers={"X-API-Key": ""})).headers


async def test_revoking_the_key_ends_its_tokens(api: Api, api_key: str) -> None:
    token = await token_of(api)
    assert (await api.get("sessions", headers={"X-API-Key": token})).status_code == 200
    await asyncio.to_thread(revoke_api_key, key=await ApiKey.objects.aget(last_four=api_key[-4:]))
    keys.forget()
    response = await api.get("sessions", headers={"X-API-Key": token})
    assert (response.status_code, response.headers["WWW-Authenticate"]) == (401, CHALLENGE)
    assert (await api.call("auth/token")).status_code == 401


async def test_a_token_made_from_a_token_lasts_no_longer(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = await token_of(api)
    api.headers["X-API-Key"] = first
    real = time.time
    monkeypatch.setattr(tokens.time, "time", lambda: real() + 600)
    second = await token_of(api)
    assert abs(part(second, 1)["exp"] - part(first, 1)["exp"]) <= 1


async def test_a_key_tells_about_itself(api: Api, api_key: str) -> None:
    key = await ApiKey.objects.aget(last_four=api_key[-4:])
    assert (await api.get("auth/apikey/me")).json() == {
        "key_id": key.id,
        "name": "test",
        "note": "",
        "details": {"org_details": {"name": "Team"}, "user_details": {"email": ""}},
    }


async def test_a_key_ends_itself_and_no_other(api: Api, other_api: Api, api_key: str) -> None:
    assert (await api.delete("auth/apikey/me")).status_code == 200
    assert (await api.get("sessions")).status_code == 401
    assert (await other_api.get("sessions")).status_code == 200
    key = await ApiKey.objects.aget(last_four=api_key[-4:])
    entry = await Entry.objects.aget(event="api_key.revoked")
    assert (entry.team_id, entry.key_id, entry.target) == (key.team_id, key.id, str(key.id))
