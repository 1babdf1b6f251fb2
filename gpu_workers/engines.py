"""The engines of a worker: one for each base model of its pool that could be loaded.

What could not is tried again, with pauses that get longer, and the worker says why.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from django.conf import settings

from gpu_workers.engine.engine import Engine, EngineOptions
from gpu_workers.engine.turns import Times, Watcher
from gpu_workers.engine.types import Done, RunWork
from operations.claims import AdoptedRun

log = logging.getLogger(__name__)

FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 300.0
REASON_LENGTH = 500

# a model that is offered no longer is still needed by what was begun on it
_WANTED = """
SELECT b.name, b.source, b.max_context_length, b.max_lora_rank FROM catalog_basemodel b
WHERE b.pool = %s AND (b.enabled OR EXISTS (
    SELECT FROM operations_lane l WHERE l.base_model_id = b.id AND l.closed_at IS NULL))
ORDER BY b.name
"""


class NotServed(Exception):
    """A base model is not loaded here."""


@dataclass(slots=True)
class _Trouble:
    """Why a model could not be loaded, how often, and when it is tried again."""

    reason: str
    tries: int
    again_at: float


class Engines:
    """Base model name → running engine. `watch` gives who watches the engine of a name."""

    def __init__(
        self, pool: str, scratch: Path, watch: Callable[[str], Watcher] | None = None
    ) -> None:
        self._pool = pool
        self._scratch = scratch
        self._watch = watch
        self._engines: dict[str, Engine] = {}
        self._troubles: dict[str, _Trouble] = {}
        self._loading = threading.Lock()

    def load_missing(self, conn: psycopg.Connection) -> bool:
        """Load the pool's models that are not, as far as their turn has come; whether any was.

        Raises:
            psycopg.OperationalError: the database is away.
        """
        loaded = False
        with self._loading:
            for name, *rest in conn.execute(_WANTED, (self._pool,)).fetchall():
                trouble = self._troubles.get(name)
                waits = trouble is not None and time.monotonic() < trouble.again_at
                if name not in self._engines and not waits:
                    loaded |= self._try(name, *rest)
        return loaded

    def get(self, name: str) -> Engine:
        """The engine of a base model.

        Raises:
            NotServed: it is not loaded.
        """
        engine = self._engines.get(name)
        if engine is None:
            raise NotServed(f"the base model {name} is not loaded")
        return engine

    def running(self) -> dict[str, Engine]:
        """The engines that are loaded."""
        return dict(self._engines)

    def submit(
        self, run: AdoptedRun, work: RunWork, done: Done, times: Times | None = None
    ) -> None:
        """Give a run's engine work on it; `done` hears of the result on one of its threads.

        Raises:
            NotServed: the run's base model is not loaded.
        """
        engine = self.get(run.base_model)
        engine.submit(run.id, work, team=str(run.team_id), done=done, times=times)

    def drop_run(self, run_id: str) -> None:
        """Forget a run, whichever engine has it."""
        for engine in self.running().values():
            engine.drop_run(run_id)

    def drop_sampler(self, key: str) -> None:
        """Forget a sampler's weights, whichever engine has them."""
        for engine in self.running().values():
            engine.drop_sampler(key)

    def report(self) -> dict[str, Any]:
        """Numbers for the worker page: of each model its engine's, or why there is none."""
        loaded = {name: engine.load_report() for name, engine in self.running().items()}
        return loaded | self._not_loaded()

    def _not_loaded(self) -> dict[str, dict[str, Any]]:
        return {
            name: {"not_loaded": trouble.reason, "tries": trouble.tries}
            for name, trouble in dict(self._troubles).items()
        }

    def stop(self) -> None:
        """Stop every engine; what is under way in them ends with EngineStopped."""
        for engine in self.running().values():
            engine.stop()

    def _try(self, name: str, source: str, max_context_length: int, max_rank: int) -> bool:
        options = EngineOptions(
            park_directory=self._scratch / name.replace("/", "--"),
            device=settings.ENGINE_DEVICE,
            dtype=settings.ENGINE_DTYPE,
            base_name=told_as(name, source),
            max_context_length=max_context_length,
            max_rank=max_rank,
        )
        try:
            engine = Engine.load(source, options)
            if self._watch is not None:
                engine.watch(self._watch(name))
            engine.start()
        except Exception as error:
            self._note(name, error)
            return False
        self._engines[name] = engine
        self._troubles.pop(name, None)
        log.info("serving %s: %s", name, engine.info)
        return True

    def _note(self, name: str, error: Exception) -> None:
        before = self._troubles.get(name)
        tries = before.tries + 1 if before else 1
        pause = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(tries - 1, 10))
        reason = (f"{type(error).__name__}: {error}")[:REASON_LENGTH]
        self._troubles[name] = _Trouble(reason, tries, time.monotonic() + pause)
        log.error(
            "base model %s could not be loaded, it is tried again in %.0f s: %s",
            name,
            pause,
            reason,
            exc_info=error if before is None or before.reason != reason else None,
        )


def told_as(name: str, source: str) -> str:
    """What exported adapters call their base: the hub id that everybody can load, else our name.

    Never a path: it would mean nothing elsewhere, and tell of this machine.
    """
    return name if Path(source).is_absolute() else source
