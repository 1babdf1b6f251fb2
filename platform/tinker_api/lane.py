"""The wire protocol's lane: `core.lane` with refusals as its clients read them."""

from __future__ import annotations

from core.lane import Lane
from tinker_api.endpoint import refuse, who_asks


class WireLane(Lane):
    """The ASGI application for `/api/v1/…`."""

    def __init__(self, max_body_bytes: int | None = None) -> None:
        super().__init__(refuse, who_asks, max_body_bytes)
