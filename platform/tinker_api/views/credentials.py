"""The key that a client came with: what it is, a token for it, its end."""

from __future__ import annotations

from django.http import HttpResponse

from accounts import keys
from tinker_api.endpoint import Call, reply


async def exchange(call: Call) -> HttpResponse:
    """A short-lived token that stands for the key."""
    presented = call.request.headers["X-API-Key"]
    return reply({"jwt": await keys.exchange(caller=call.caller, presented=presented)})


async def show_key(call: Call) -> HttpResponse:
    """What is known of the key. Keys belong to teams, hence no user's address."""
    return reply(
        {
            "key_id": call.caller.key_id,
            "name": await keys.key_name(caller=call.caller),
            "note": "",
            "details": {
                "org_details": {"name": call.caller.team_name},
                "user_details": {"email": ""},
            },
        }
    )


async def revoke_key(call: Call) -> HttpResponse:
    """End the key, and with it the tokens it was exchanged for."""
    await keys.revoke_own(caller=call.caller)
    return reply({})
