"""The log of an empty platform."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from catalog.models import BaseModel
from core import database
from tests.support.log import Log


@pytest.fixture
def log(transactional_db: None) -> Iterator[Log]:
    """The log of an empty platform that offers one base model."""
    base_model = BaseModel.objects.create(
        name="acme/tiny", source="x", tokenizer_id="x", family="qwen3", max_context_length=64
    )
    with database.connect() as conn:
        yield Log(conn, base_model)
