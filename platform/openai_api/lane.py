"""This API's lane: `core.lane` with refusals in OpenAI's shape."""

from __future__ import annotations

from core.lane import Lane
from openai_api.endpoint import who_asks
from openai_api.errors import refuse


class OpenaiLane(Lane):
    """The ASGI application for `/v1/…`."""

    def __init__(self, max_body_bytes: int | None = None) -> None:
        super().__init__(refuse, who_asks, max_body_bytes)
