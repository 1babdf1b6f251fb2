"""The platform that recipes find where a user would have named it."""

from __future__ import annotations

import pytest

from tests.conftest import LiveStack


@pytest.fixture
def server(live_stack: LiveStack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipes run on the live platform."""
    monkeypatch.setenv("TINSMITH_BASE_URL", live_stack.url)
    monkeypatch.setenv("TINSMITH_API_KEY", live_stack.api_key)
