"""A platform running on this machine: services, tables, first access, web process and worker."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from config import dashboard
from config.env import REPOSITORY, text
from config.standalone import children
from config.standalone.options import listen_on, require_free
from core.embedded import (
    Child,
    DataFolder,
    PostgresServer,
    Supervisor,
    ValkeyServer,
)
from core.embedded.processes import tail

if TYPE_CHECKING:
    from config.standalone.access import Access

WATCH_S = 0.2
WEB_WITHIN_S = 90.0
CRASHES_BEFORE_GIVING_UP = 3
NANO = REPOSITORY / "gpu_workers" / "nano"
NANO_MODELS = {
    "tinsmith/nano-qwen3": (NANO / "nano-qwen3", "Qwen3-shaped, trained by us, for trying out"),
    "tinsmith/nano-llama3": (NANO / "nano-llama3", "Llama-3-shaped, trained by us, for trying out"),
}


class StartError(Exception):
    """The platform cannot start; the message says why and what to do."""


@dataclass
class Platform:
    """A platform on this machine, from `start` to `stop`."""

    folder: DataFolder
    host: str = "127.0.0.1"
    port: int = 8000
    models: dict[str, str] = field(default_factory=dict)
    say: Callable[[str], None] = field(default_factory=lambda: _say)
    ended: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.supervisor = Supervisor(self.say)
        self.url = ""
        self._own_database = True

    def open(self) -> None:
        """Choose the port, look at the models, take the folder's lock: before anything is touched.

        Raises:
            BadOption, StartError, EmbeddedError: port, model or folder cannot be had.
        """
        from catalog.sources import BadSource, inspect

        require_free(self.host, self.port)
        self.port = self.port or _free_port(self.host)
        for name, given in self.models.items():
            try:
                inspect(given)
            except BadSource as error:
                raise StartError(f"--model {name}={given}: {error}") from error
        self.url = children.url_of(self.host, self.port)
        self.folder.open()

    def start(self) -> Access:
        """Start everything and wait until it answers; `open` it first.

        Raises:
            StartError, EmbeddedError: it cannot.
        """
        self._build_dashboard()
        env = self._start_services()
        self._require_running()
        access = self._prepare_database()
        self._require_running()
        web = self.supervisor.add(children.web(self.folder, self.host, self.port, env))
        worker = self.supervisor.add(children.worker(self.folder, env))
        self._wait_for("web", web, lambda: children.web_answers(self.url), WEB_WITHIN_S)
        self._wait_for("worker", worker, _worker_ready)
        for trouble in _worker_troubles():
            self.say(f"{trouble}; the worker goes on trying")
        return access

    def watch(self) -> None:
        """Keep the children running until told to end; a full disk is logged here, too."""
        from core import disk

        while not self.ended.wait(WATCH_S):
            self.supervisor.check()
            disk.trouble()

    def stop(self) -> None:
        """Stop everything that `start` started, and say so."""
        running = [child.name for child in reversed(self.supervisor.children)]
        if running:
            self.say(f"Stopping {', '.join(running)} …")
        self.supervisor.stop()
        self.folder.close()
        if running:
            self.say(f"Stopped. {self.folder.path} is kept for the next start.")

    def _build_dashboard(self) -> None:
        """The dashboard, unless it is built; the rest of the platform does without."""
        try:
            dashboard.ensure(REPOSITORY / "frontend", self.say)
        except (dashboard.BuildError, OSError) as error:
            self.say(f"the dashboard is not built: {error}")

    def _start_services(self) -> dict[str, str]:
        """Start the servers that the environment does not name; returns our variables."""
        database_url, valkey_url = text("DATABASE_URL"), text("VALKEY_URL")
        self._own_database = not database_url
        postgres = None if database_url else PostgresServer(self.folder)
        valkey = None if valkey_url else ValkeyServer(self.folder)
        started = [
            (server, self.supervisor.add(children.server(name, server)))
            for name, server in (("postgres", postgres), ("valkey", valkey))
            if server is not None
        ]
        own = {"database_url": postgres and postgres.url, "valkey_url": valkey and valkey.url}
        self.folder.write("services.json", {name: url for name, url in own.items() if url})
        env = children.environment(
            self.folder,
            self.host,
            database_url or str(own["database_url"]),
            valkey_url or str(own["valkey_url"]),
        )
        os.environ.update(env)
        _set_up_django()  # while the servers start
        for server, child in started:
            assert child.process is not None
            server.wait(child.process)
        return env

    def _prepare_database(self) -> Access:
        """Tables, base models, access."""
        from django.db import connections

        from catalog.services import register
        from catalog.sources import BadSource
        from config.standalone.access import ensure
        from operations.workers import forget_all

        _migrate(self.say)
        if self._own_database:
            forget_all()  # nobody else can reach it, and ours do not run yet
        for name, (source, description) in NANO_MODELS.items():
            if source.is_dir():
                register(name=name, source=str(source), description=description)
        for name, given in self.models.items():
            try:
                register(name=name, source=given)
            except BadSource as error:
                raise StartError(f"--model {name}={given}: {error}") from error
        access = ensure(self.folder, own_database=self._own_database)
        connections.close_all()
        return access

    def _require_running(self) -> None:
        if self.ended.is_set():
            raise KeyboardInterrupt

    def _wait_for(
        self, name: str, child: Child, ready: Callable[[], bool], within_s: float | None = None
    ) -> None:
        """Wait until `ready`, restarting what falls over a few times."""
        begun = time.monotonic()
        said = 0
        while not ready():
            self._require_running()
            self.supervisor.check()
            if child.crashes >= CRASHES_BEFORE_GIVING_UP:
                raise StartError(f"the {name} process keeps ending:\n{tail(child.log)}")
            waited = time.monotonic() - begun
            if within_s is not None and waited > within_s:
                raise StartError(f"the {name} process does not answer:\n{tail(child.log)}")
            if waited > 15 * (said + 1):
                said += 1
                why = "; ".join(_worker_troubles()) if name == "worker" else ""
                self.say(f"still waiting for the {name} process ({waited:.0f} s) … {why}".rstrip())
            time.sleep(0.1)


def _say(line: str) -> None:
    """To the terminal; if that is gone, what we do next is more important than who hears of it."""
    with contextlib.suppress(OSError):
        print(line, file=sys.stderr, flush=True)


def _set_up_django() -> None:
    """Django for this process alone: few queries, no pool, so that no thread runs when it forks."""
    import django
    from django.db import connections

    django.setup(set_prefix=False)
    connections["default"].settings_dict["OPTIONS"].pop("pool", None)


def _migrate(say: Callable[[str], None]) -> None:
    """Bring the tables up to date; a look at the history when they are."""
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor
    from django.db.utils import OperationalError

    try:
        executor = MigrationExecutor(connection)
    except OperationalError as error:
        raise StartError(f"cannot reach the database: {error}") from error
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        say("creating the tables …")
        call_command("migrate", verbosity=0, interactive=False)


def _worker_ready() -> bool:
    from operations.workers import any_alive

    return any_alive(children.POOL)


def _worker_troubles() -> list[str]:
    """What keeps the worker from serving base models."""
    from operations.workers import troubles

    found = troubles(children.POOL)
    return [f"the base model {name} could not be loaded: {why}" for name, why in found.items()]


def _free_port(host: str) -> int:
    with listen_on(host, 0) as probe:
        return int(probe.getsockname()[1])
