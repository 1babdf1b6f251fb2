"""Cursors of lists: the place where a page ends, as a text that only the list itself reads.

A place is the value that the list is sorted by, and the id of the row.
"""

from __future__ import annotations

import base64
import binascii
from typing import TypeVar

import msgspec

from core.errors import BadRequest

T = TypeVar("T")


def cursor_of(value: object, row_id: str) -> str:
    """The cursor of a place."""
    encoded = msgspec.json.encode([value, row_id])
    return base64.urlsafe_b64encode(encoded).decode().rstrip("=")


def place_of(cursor: str, kind: type[T]) -> tuple[T, str] | None:
    """The place of a cursor whose value is of this kind; None without a cursor.

    Raises:
        BadRequest: nobody has given it.
    """
    if not cursor:
        return None
    try:
        decoded = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        value, row_id = msgspec.json.decode(decoded, type=tuple[kind, str])  # type: ignore[valid-type]
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise not_given() from None
    if "\0" in row_id:
        raise not_given()
    return value, row_id


def not_given() -> BadRequest:
    """The refusal of a cursor that no list has given."""
    return BadRequest("cursor is none that this list has given")
