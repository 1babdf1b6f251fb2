"""The engines of a worker: one for each base model of its pool."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from django.conf import settings

from core import database
from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.types import UserError

log = logging.getLogger(__name__)


class Engines:
    """Base model name → running engine."""

    def __init__(self, pool: str, scratch: Path) -> None:
        self._pool = pool
        self._scratch = scratch
        self._engines: dict[str, Engine] = {}
        self._lock = threading.Lock()

    def load_all(self) -> list[str]:
        """Load every model of the pool; returns the names of those that could be loaded."""
        with database.connect() as conn:
            names = [
                name
                for (name,) in conn.execute(
                    "SELECT name FROM catalog_basemodel WHERE enabled AND pool = %s ORDER BY name",
                    (self._pool,),
                )
            ]
        for name in names:
            try:
                self.get(name)
            except Exception:
                log.exception("base model %s could not be loaded", name)
        return sorted(self._engines)

    def get(self, name: str) -> Engine:
        """The engine of a base model, loaded now if need be.

        Raises:
            UserError: the catalog does not have the model any more.
        """
        with self._lock:
            engine = self._engines.get(name)
            if engine is None:
                engine = self._engines[name] = self._load(name)
            return engine

    def running(self) -> dict[str, Engine]:
        """The engines that are loaded."""
        return dict(self._engines)

    def stop(self) -> None:
        """Stop every engine; what is under way in them ends with EngineStopped."""
        for engine in self._engines.values():
            engine.stop()

    def _load(self, name: str) -> Engine:
        with database.connect() as conn:
            row = conn.execute(
                """
                SELECT source, max_context_length, max_lora_rank
                FROM catalog_basemodel WHERE name = %s
                """,
                (name,),
            ).fetchone()
        if row is None:
            raise UserError(f"the base model {name} is no longer offered")
        source, max_context_length, max_rank = row
        options = EngineOptions(
            park_directory=self._scratch / name.replace("/", "--"),
            device=settings.ENGINE_DEVICE,
            dtype=settings.ENGINE_DTYPE,
            base_name=told_as(name, source),
            max_context_length=max_context_length,
            max_rank=max_rank,
        )
        engine = Engine.load(source, options)
        engine.start()
        log.info("serving %s: %s", name, engine.info)
        return engine


def told_as(name: str, source: str) -> str:
    """What exported adapters call their base: the hub id that everybody can load, else our name.

    Never a path: it would mean nothing elsewhere, and tell of this machine.
    """
    return name if Path(source).is_absolute() else source
