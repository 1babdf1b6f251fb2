"""The wire protocol's lane: `core.lane` with refusals as its clients read them."""

from __future__ import annotations

from django.http import HttpResponse

from core.errors import ApiError
from core.lane import Lane
from operations import order
from tinker_api.endpoint import refuse, who_asks


class WireLane(Lane):
    """The ASGI application for `/api/v1/…`."""

    def __init__(self, max_body_bytes: int | None = None) -> None:
        super().__init__(_refuse_unread, who_asks, max_body_bytes)


def _refuse_unread(error: ApiError) -> HttpResponse:
    """The refusal of a request that no view has seen, so that nothing of it is stored."""
    response = refuse(error)
    response.headers[order.HEADER] = order.Place.FREE
    return response
