"""API keys: made, recognised, refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts import keys, services
from accounts.actors import Actor, Forbidden
from accounts.models import ApiKey, Role, Team
from core import database
from core.errors import Unauthorized

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team() -> Team:
    """A team."""
    return services.create_team(name="Smiths")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    keys.forget()
    yield
    keys.forget()


async def actor_of(text: str) -> Actor:
    """Authenticate on a pool that ends with the test's event loop."""
    try:
        return await keys.authenticate(text)
    finally:
        await database.shutdown()


def test_a_key_is_kept_as_its_hash_alone(team: Team) -> None:
    new = services.create_api_key(team=team, name="ci")
    assert new.text.startswith("tml-")
    assert len(new.text) == 47
    assert new.key.masked == f"{new.text[:8]}…{new.text[-4:]}"
    with connection.cursor() as cursor:
        cursor.execute("SELECT row_to_json(k)::text FROM accounts_apikey k")
        (row,) = cursor.fetchone()
    assert new.text not in row
    assert new.text[8:-4] not in row


async def test_a_key_names_its_team(team: Team) -> None:
    new = await sync_to_async(services.create_api_key)(team=team, name="ci", scopes=["sample"])
    actor = await actor_of(new.text)
    key_id, role = new.key.id, Role.MEMBER
    assert actor == Actor(team.id, "Smiths", frozenset({"sample"}), key_id=key_id, role=role)
    actor.require("sample")
    with pytest.raises(Forbidden, match="may not train; its scopes are: sample"):
        actor.require("train")
    await new.key.arefresh_from_db()
    assert new.key.last_used_at is not None


@pytest.mark.parametrize(
    "text", ["", "tml-", "sk-something", "tml-" + "x" * 43, "tml-" + "é" * 43, "tml-" + "x" * 9999]
)
async def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(Unauthorized):
        await actor_of(text)


async def test_a_revoked_key_stops(team: Team) -> None:
    new = await sync_to_async(services.create_api_key)(team=team, name="ci")
    await actor_of(new.text)
    await sync_to_async(services.revoke_api_key)(key=new.key)
    keys.forget()
    with pytest.raises(Unauthorized):
        await actor_of(new.text)
    revoked_at = new.key.revoked_at
    await sync_to_async(services.revoke_api_key)(key=new.key)
    assert new.key.revoked_at == revoked_at


async def test_a_revoked_key_is_remembered_for_seconds_only(
    team: Team, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = await sync_to_async(services.create_api_key)(team=team, name="ci")
    now = 1000.0
    monkeypatch.setattr(keys.time, "monotonic", lambda: now)
    await actor_of(new.text)
    await sync_to_async(services.revoke_api_key)(key=new.key)
    await actor_of(new.text)
    now += keys.REMEMBER_S
    with pytest.raises(Unauthorized):
        await actor_of(new.text)


async def test_an_expired_key_stops(team: Team) -> None:
    soon = timezone.now() - timedelta(seconds=1)
    new = await sync_to_async(services.create_api_key)(team=team, name="ci", expires_at=soon)
    with pytest.raises(Unauthorized):
        await actor_of(new.text)
    assert new.key.state == "expired"


def test_unknown_scopes_are_refused_and_nothing_is_made(team: Team) -> None:
    with pytest.raises(ValueError, match="choose from train, sample"):
        services.create_api_key(team=team, name="ci", scopes=["fly"])
    with pytest.raises(ValueError, match="choose from"):
        services.create_api_key(team=team, name="ci", scopes=[])
    with pytest.raises(ValueError, match="needs a name"):
        services.create_api_key(team=team, name=" ")
    assert not ApiKey.objects.exists()


def test_the_database_refuses_unknown_scopes_and_bad_hashes(team: Team) -> None:
    key = services.create_api_key(team=team, name="ci").key
    for wrong in ({"scopes": ["fly"]}, {"scopes": []}, {"sha256": "abc"}, {"name": ""}):
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.filter(pk=key.pk).update(**wrong)
