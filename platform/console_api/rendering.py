"""How answers of the dashboard's API become bytes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec
import orjson
from rest_framework.renderers import BaseRenderer


class FastJSON(BaseRenderer):
    """JSON of dataclasses; numbers that are not finite are null.

    What a program has recorded may hold what orjson has no form for: integers beyond 64 bits.
    """

    media_type = "application/json"
    format = "json"

    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        """The bytes of a body; none for an answer without one."""
        if data is None:
            return b""
        try:
            return orjson.dumps(data, default=_plain)
        except TypeError:
            return _patient.encode(data)


_patient = msgspec.json.Encoder(decimal_format="number")


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    raise TypeError(f"{type(value).__name__} is not shown")
