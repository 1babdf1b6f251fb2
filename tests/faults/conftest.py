"""Everything here drives the live stack."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import LiveStack


@pytest.fixture(scope="session")
def http(live_stack: LiveStack) -> Iterator[httpx.Client]:
    """Plain HTTP with the team's key."""
    with httpx.Client(
        base_url=f"{live_stack.url}/api/v1/", headers={"X-API-Key": live_stack.api_key}, timeout=60
    ) as client:
        yield client


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Live, and with time for a busy machine."""
    for item in items:
        if "tests/faults" in item.path.as_posix():
            item.add_marker(pytest.mark.live)
            item.add_marker(pytest.mark.timeout(600))
