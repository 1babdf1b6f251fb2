"""Real services for every test: PostgreSQL and Valkey of our own launcher, and a whole live stack.

`django_db` starts the two servers on first use. `live_stack` runs `manage.py up` with its web
process and worker, once a session. Nothing here is a stand-in.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from config import env
from core.embedded import DataFolder, PostgresServer, ValkeyServer
from core.embedded.processes import spawn
from tests.support.waiting import Waited, eventually

REPOSITORY = Path(__file__).resolve().parents[1]
LIVE_WITHIN_S = 180.0
STOPPED_WITHIN_S = 60.0
MANY_TESTS = 2000  # from so many on, a run is worth preparing

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@dataclass(frozen=True)
class Services:
    """The addresses of the servers that run for this test session."""

    database_url: str
    valkey_url: str


@dataclass
class LiveStack:
    """A platform that `manage.py up` runs."""

    url: str
    api_key: str
    admin_username: str
    admin_password: str
    folder: Path
    process: subprocess.Popen[bytes]

    def log(self, name: str) -> str:
        """What a child (`web`, `worker`, `postgres`, `valkey`) has written."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")


_preparing: list[subprocess.Popen[bytes]] = []


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Several processes (`-n`) share the tests out in groups."""
    from tests.support import spread

    config.option.loadscopereorder = False  # ours is the order
    return spread.InGroups(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """One of several processes: as all of them, it has the longest first."""
    if is_one_of_several(config):
        from tests.support import spread

        items[:] = spread.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_node_collection_finished(ids: list[str]) -> None:
    """The first of several processes has told which tests there are."""
    if len(ids) >= MANY_TESTS and not _preparing:
        prepare()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The only process knows which tests there are."""
    alone = not is_one_of_several(session.config)
    if len(session.items) >= MANY_TESTS and alone and not session.config.option.collectonly:
        prepare()


def is_one_of_several(config: pytest.Config) -> bool:
    """Whether another process has started this one to run a share of the tests."""
    return hasattr(config, "workerinput")


def prepare() -> None:
    """Begin to install what later tests run in Pythons of their own, beside the first ones."""
    command = ["nice", sys.executable, "-m", "tests.support.prepare"]
    where = os.pathsep.join([str(REPOSITORY / "platform"), str(REPOSITORY)])
    process = subprocess.Popen(
        command,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": where},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _preparing.append(process)
    # waited for, so that tests which look at our children find no zombie among them
    threading.Thread(target=process.wait, daemon=True).start()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Leave nothing behind: no installer, and after Ctrl-C no platform of another process."""
    for process in _preparing:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    if exitstatus == pytest.ExitCode.INTERRUPTED and session.config.pluginmanager.has_plugin(
        "dsession"
    ):
        with suppress(Waited):
            eventually(others_have_stopped, within_s=STOPPED_WITHIN_S)


def others_have_stopped() -> bool:
    """Whether our processes that run tests have stopped all that they have started."""
    with suppress(psutil.NoSuchProcess):
        return not any(one.children() for one in psutil.Process().children())
    return False  # one has ended between the two looks


def make_folder() -> Path:
    """A temporary folder through which another user can go, as PostgreSQL's under root."""
    folder = Path(tempfile.mkdtemp(prefix="tinsmith-test-"))
    folder.chmod(0o711)
    return folder


def remove_folder(folder: Path) -> None:
    """Delete a data folder, and what root put elsewhere for it."""
    for link in (folder / "postgres", folder / "sockets"):
        if link.is_symlink():
            shutil.rmtree(os.path.realpath(link), ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)


def start_up(folder: Path, *arguments: str, **variables: str) -> subprocess.Popen[bytes]:
    """`manage.py up` on a data folder and any free port; see `wait_ready`.

    It is told to stop when this process dies before it could say so. Call from the main thread.
    """
    command = [sys.executable, str(REPOSITORY / "manage.py"), "up", "--data-dir", str(folder)]
    command += ["--port", "0", "--ready-file", str(folder / "ready.json"), *arguments]
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in {"DATABASE_URL", "VALKEY_URL", "DJANGO_SETTINGS_MODULE"}
    }
    environment = {**kept, "TINSMITH_NO_VENV": "1", **variables}
    return spawn(command, cwd=REPOSITORY, log=folder / "up.log", env=environment)


def wait_ready(process: subprocess.Popen[bytes], folder: Path) -> LiveStack:
    """Wait for the ready file."""
    file = folder / "ready.json"
    with suppress(Waited):
        eventually(lambda: file.exists() or process.poll() is not None, within_s=LIVE_WITHIN_S)
    if not file.exists():
        stop_up(process)
        pytest.fail(f"manage.py up did not start:\n{(folder / 'up.log').read_text()}")
    ready = json.loads(file.read_text())
    return LiveStack(folder=folder, process=process, **ready)


def stop_up(process: subprocess.Popen[bytes]) -> int:
    """Ask the launcher to stop and wait for it; returns its status."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        return process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()  # the kernel ends its children with it
        process.wait()
        raise


@pytest.fixture(scope="session")
def services() -> Iterator[Services]:
    """PostgreSQL (without fsync) and Valkey on sockets in a temporary folder."""
    path = make_folder()
    folder = DataFolder(path)
    folder.open()
    postgres, valkey = PostgresServer(folder, durable=False), ValkeyServer(folder)
    processes = postgres.start(), valkey.start()
    try:
        postgres.wait(processes[0])
        valkey.wait(processes[1])
        yield Services(postgres.url, valkey.url)
    finally:
        postgres.stop(processes[0])
        valkey.stop(processes[1])
        folder.close()
        remove_folder(path)


@pytest.fixture(scope="session")
def django_db_modify_db_settings(services: Services) -> None:
    """Point Django at our servers (pytest-django calls this before it makes the test database)."""
    from django.conf import settings

    found = env.django_database(services.database_url)
    database = settings.DATABASES["default"]
    for name in ("NAME", "USER", "PASSWORD", "HOST", "PORT"):
        database[name] = found[name]
    database["OPTIONS"] = {}  # no pool: each test closes what it opened
    settings.VALKEY_URL = services.valkey_url
    settings.CELERY_BROKER_URL = env.broker_url(services.valkey_url)


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """The whole server is thrown away; dropping its database would wait for open connections."""
    return True


@pytest.fixture(scope="session")
def live_stack() -> Iterator[LiveStack]:
    """A whole platform with the nano models: separate web process and worker."""
    folder = make_folder()
    process = start_up(folder)
    try:
        yield wait_ready(process, folder)
        assert stop_up(process) == 0, (folder / "up.log").read_text()
    finally:
        stop_up(process)
        remove_folder(folder)
