"""A PostgreSQL server of our own: in the data folder, on a private socket, no TCP."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from urllib.parse import quote

import psutil
import psycopg

from core.embedded.binaries import PostgresPrograms, find_postgres
from core.embedded.folder import DataFolder
from core.embedded.processes import (
    EmbeddedError,
    end_leftovers,
    living_in,
    run_as,
    spawn,
    stop,
    tail,
)

ROLE = "tinsmith"
DATABASE = "tinsmith"
START_WITHIN_S = 120.0  # crash recovery may replay much
_STOP = ((signal.SIGINT, 10.0), (signal.SIGQUIT, 3.0))  # fast, then immediate: both keep the data
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "jit": "off",  # our statements are short
    "logging_collector": "off",
    "log_checkpoints": "off",
    "timezone": "UTC",
}
_CARELESS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


class PostgresServer:
    """The server of a data folder. `durable=False` is for tests: it may lose data at power cuts."""

    stop_steps = _STOP

    def __init__(self, folder: DataFolder, *, durable: bool = True) -> None:
        self.folder = folder
        self.durable = durable
        self.log = folder.log("postgres")
        self._programs: PostgresPrograms | None = None

    @property
    def url(self) -> str:
        """The address of our database, for libpq and Django."""
        return self._url(DATABASE)

    def start(self) -> subprocess.Popen[bytes]:
        """Start the server, making its cluster first if there is none; see `wait`."""
        home = self.folder.postgres_home.resolve()
        data = home / "data"
        version = data / "PG_VERSION"
        major = int(version.read_text().split(".")[0]) if version.exists() else None
        self._programs = self._programs or find_postgres(self.folder.postgres_user, major)
        if major is None:
            self._make_cluster()
        self._clear_leftovers()
        settings = {**_SETTINGS, **({} if self.durable else _CARELESS)}
        settings["unix_socket_directories"] = str(self.folder.sockets / "postgres")
        options = [part for item in settings.items() for part in ("-c", "=".join(item))]
        return spawn(
            [self._programs.folder / "postgres", "-D", data, *options],
            cwd=data,
            log=self.log,
            env=_plain_environment(),
            user=self.folder.postgres_user,
            death_signal=signal.SIGINT,
        )

    def wait(self, process: subprocess.Popen[bytes]) -> None:
        """Wait until the server takes connections and our database is there.

        Raises:
            EmbeddedError: it ended, or does not answer.
        """
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                with psycopg.connect(self._url("postgres"), autocommit=True) as conn:
                    query = "SELECT 1 FROM pg_database WHERE datname = %s"
                    if conn.execute(query, (DATABASE,)).fetchone() is None:
                        conn.execute(f"CREATE DATABASE {DATABASE}")
                    return
            except psycopg.OperationalError as error:
                if process.poll() is not None:
                    raise EmbeddedError(f"PostgreSQL ended:\n{tail(self.log)}") from error
                if time.monotonic() > deadline:
                    raise EmbeddedError(f"PostgreSQL does not answer: {error}") from error
            time.sleep(0.03)

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """Disconnect everybody and shut down cleanly."""
        stop(process, _STOP)

    def _url(self, database: str) -> str:
        host = quote(str(self.folder.sockets / "postgres"), safe="")
        return f"postgresql://{ROLE}@/{database}?host={host}"

    def _make_cluster(self) -> None:
        """initdb beside the final place, then rename: a half-made cluster never looks like one."""
        assert self._programs is not None
        home = self.folder.postgres_home.resolve()
        fresh, data = home / "data.new", home / "data"
        shutil.rmtree(fresh, ignore_errors=True)
        if data.exists() and any(data.iterdir()):
            raise EmbeddedError(f"{data} is not a database and not empty: move it away")
        initdb = str(self._programs.folder / "initdb")
        command = [initdb, "-D", str(fresh), "-U", ROLE, "-A", "trust", "-E", "UTF8"]
        command += ["--locale=C", "--no-instructions", "--no-sync"]
        made = run_as(self.folder.postgres_user, command, cwd=home, env=_plain_environment())
        if made.returncode:
            raise EmbeddedError(f"initdb failed:\n{made.stdout}")
        # Whoever can open the socket's folder (its owner, and root) is in; nobody else comes near.
        (fresh / "pg_hba.conf").write_text("local all all trust\n")
        if self.durable:
            os.sync()
        fresh.rename(data)

    def _clear_leftovers(self) -> None:
        """After a launcher was killed: end its server, drop its lock files.

        We hold the folder's lock, so a server that still runs here has lost its launcher. A lock
        file without a server may name a process id that somebody else has got since; PostgreSQL
        would then refuse to start.
        """
        home = self.folder.postgres_home.resolve()

        def running() -> list[psutil.Process]:
            return living_in(home / "data", ("postgres", "postmaster"))

        def postmaster() -> list[psutil.Process]:
            every = {process.pid for process in running()}
            return [p for p in running() if p.ppid() not in every]

        end_leftovers(postmaster, _STOP)
        end_leftovers(running, [(signal.SIGQUIT, 5.0)])
        (home / "data" / "postmaster.pid").unlink(missing_ok=True)
        for file in (self.folder.sockets / "postgres").glob(".s.PGSQL.*"):
            file.unlink(missing_ok=True)


def _plain_environment() -> dict[str, str]:
    """Our environment without what would steer PostgreSQL elsewhere."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}
