"""Workers of a pool that offers the nano Qwen3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from catalog.models import BaseModel
from core import database
from gpu_workers import nano
from gpu_workers.process.upkeep import Pulse
from tests.gpu_workers.bench import Bench
from tests.support.log import Log


@pytest.fixture
def bench(transactional_db: None, tmp_path: Path, settings) -> Iterator[Bench]:
    """Workers of a pool that offers the nano Qwen3."""
    settings.DATA_DIR = tmp_path
    base_model = BaseModel.objects.create(
        name="tinsmith/nano-qwen3",
        source=str(nano.folder("nano-qwen3")),
        tokenizer_id="x",
        family="qwen3",
        max_context_length=256,
    )
    with database.connect() as conn:
        made = Bench(Log(conn, base_model))
        yield made
        made.stop()


@pytest.fixture
def quiet_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pulses that keep the lease and make good for nothing that was lost."""
    monkeypatch.setattr(Pulse, "beat", lambda pulse, conn: pulse._lease.renew(conn))
