"""JSON bodies: where a NUL character is, and where one is only spelt."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.json_bodies import BadField, decode, holds_nul

PIECES = ["\0", "\\", "u0000", "\\u0000", '"', "\n", "a", "\\\\", "é"]


class Named(msgspec.Struct):
    """A body with one text."""

    name: str


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
def test_a_nul_is_found_where_there_is_one_and_nowhere_else(text: str) -> None:
    for body in (json.dumps(text), msgspec.json.encode(text).decode()):
        assert holds_nul(body.encode()) == ("\0" in text)


def test_text_that_merely_spells_a_nul_is_fine() -> None:
    text = 'code that says "\\u0000" and \\\\u0000'
    assert decode(msgspec.json.encode({"name": text}), Named).name == text
    with pytest.raises(BadField, match="NUL character"):
        decode(msgspec.json.encode({"name": "a\0b"}), Named)
