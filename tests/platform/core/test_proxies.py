"""Whose address counts when proxies stand between: never one that the caller made up."""

from __future__ import annotations

from typing import Any

import pytest

from core.proxies import seen_through


def scope(*forwarded: str, proto: str | None = None) -> dict[str, Any]:
    """A request that came over http from 10.0.0.9."""
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode()))
    return {"type": "http", "scheme": "http", "client": ("10.0.0.9", 5), "headers": headers}


@pytest.mark.parametrize(
    ("proxies", "forwarded", "address"),
    [
        (0, ["6.6.6.6"], "10.0.0.9"),
        (1, [], "10.0.0.9"),
        (1, ["1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6, 1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
        (2, ["6.6.6.6, 1.2.3.4, 10.0.0.1"], "1.2.3.4"),
        (2, ["1.2.3.4"], "1.2.3.4"),
        (1, ["6.6.6.6, 1.2.3.4:5678"], "1.2.3.4"),
        (1, ["[2001:db8::1]:5678"], "2001:db8::1"),
        (1, ["2001:db8::1"], "2001:db8::1"),
        (1, ["unknown"], "unknown"),
    ],
)
def test_the_address(settings: Any, proxies: int, forwarded: list[str], address: str) -> None:
    settings.PROXIES = proxies
    assert seen_through(scope(*forwarded))["client"][0] == address


def test_the_scheme(settings: Any) -> None:
    assert seen_through(scope(proto="https"))["scheme"] == "http"
    settings.PROXIES = 1
    assert seen_through(scope(proto="https"))["scheme"] == "https"
    assert seen_through(scope(proto="gopher"))["scheme"] == "http"
    assert seen_through(scope())["scheme"] == "http"
