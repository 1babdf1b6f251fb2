"""The key that a client came with: what it is, a token for it, its end."""

from __future__ import annotations

from typing import Annotated

from accounts import keys
from core.json_bodies import Answer, told
from tinker_api.endpoint import Call
from tinker_api.shapes import Nothing


class Token(Answer):
    """A token that stands for an API key."""

    jwt: Annotated[str, told("Send it instead of the key. It lasts 15 minutes.")]


class KeyTeam(Answer):
    """The team that a key belongs to."""

    name: Annotated[str, told("The team's name.")]


class KeyUser(Answer):
    """Always empty: keys belong to teams."""

    email: Annotated[str, told("Always empty.")]


class KeyDetails(Answer):
    """Whose key it is."""

    org_details: Annotated[KeyTeam, told("The team.")]
    user_details: Annotated[KeyUser, told("Nobody.")]


class Key(Answer):
    """What is known of an API key."""

    key_id: Annotated[int, told("The key's number.")]
    name: Annotated[str, told("What the key is called.")]
    note: Annotated[str, told("Always empty.")]
    details: Annotated[KeyDetails, told("Whose key it is.")]


async def exchange(call: Call) -> Token:
    """A short-lived token that stands for the key."""
    presented = call.request.headers["X-API-Key"]
    return Token(jwt=await keys.exchange(actor=call.actor, presented=presented))


async def show_key(call: Call) -> Key:
    """What is known of the key. Keys belong to teams, hence no user's address."""
    assert call.actor.key_id is not None, "programs come with keys"
    return Key(
        key_id=call.actor.key_id,
        name=await keys.key_name(actor=call.actor),
        note="",
        details=KeyDetails(
            org_details=KeyTeam(name=call.actor.team_name), user_details=KeyUser(email="")
        ),
    )


async def revoke_key(call: Call) -> Nothing:
    """End the key, and with it the tokens it was exchanged for."""
    await keys.revoke_own(actor=call.actor)
    return Nothing()
