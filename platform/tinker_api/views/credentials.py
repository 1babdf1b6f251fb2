"""The key that a client came with: what it is, a token for it, its end."""

from __future__ import annotations

from django.http import HttpResponse

from accounts import keys
from tinker_api.endpoint import Call, reply


async def exchange(call: Call) -> HttpResponse:
    """A short-lived token that stands for the key."""
    presented = call.request.headers["X-API-Key"]
    return reply({"jwt": await keys.exchange(actor=call.actor, presented=presented)})


async def show_key(call: Call) -> HttpResponse:
    """What is known of the key. Keys belong to teams, hence no user's address."""
    return reply(
        {
            "key_id": call.actor.key_id,
            "name": await keys.key_name(actor=call.actor),
            "note": "",
            "details": {
                "org_details": {"name": call.actor.team_name},
                "user_details": {"email": ""},
            },
        }
    )


async def revoke_key(call: Call) -> HttpResponse:
    """End the key, and with it the tokens it was exchanged for."""
    await keys.revoke_own(actor=call.actor)
    return reply({})
