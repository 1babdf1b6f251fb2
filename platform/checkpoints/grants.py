"""The right to read another team's checkpoint, as a stored request carries it.

A client sends that team's API key. No key may be written into the log, so the web process checks it
and stores in its place whose checkpoints it opens. Nobody else writes that: what a client sends as
the token is always taken for a key.
"""

from __future__ import annotations

from typing import Any

import msgspec

from checkpoints.services import lender_of

FIELD = "weights_access_token"
_PREFIX = "team:"


async def without_key(body: dict[str, Any]) -> bytes:
    """A request as JSON, with the key in it replaced by whose checkpoints it opens.

    Raises:
        BadRequest: the key is no good.
    """
    lender = await lender_of(body[FIELD])
    return msgspec.json.encode({**body, FIELD: f"{_PREFIX}{lender.team_id}"})


def team_of(grant: str) -> int:
    """Whose checkpoints a stored grant opens."""
    return int(grant.removeprefix(_PREFIX))
