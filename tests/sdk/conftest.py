"""A stub server and a client that talks to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import tinsmith
from tests.sdk.stub import Stub


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    yield server
    server.close()


@pytest.fixture
def service(stub: Stub) -> Iterator[tinsmith.ServiceClient]:
    """Patient for two seconds only."""
    client = tinsmith.ServiceClient(
        base_url=stub.url,
        api_key="tml-test",
        retry_config=tinsmith.RetryConfig(budget_s=2.0, first_delay_s=0.01, max_delay_s=0.1),
    )
    yield client
    client.close().result(5)
