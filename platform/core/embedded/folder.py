"""The data folder of one installation: where things are, who may run it, its lock, its secrets.

    DIR/launcher.lock    held by the launcher that runs the folder
    DIR/credentials.json, secret_key, services.json      mode 0600
    DIR/postgres/        PostgreSQL's home: data/ and its lock. As root: owned by an unprivileged
                         user, and a link to /var/lib/tinsmith/… where that user cannot reach DIR
    DIR/valkey/, DIR/sockets/, DIR/logs/

Sockets move to a private temporary folder when DIR's path is too long or too odd for them.
"""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import re
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import IO, Any

from core.embedded.processes import EmbeddedError, run_as

SYSTEM_HOME = Path("/var/lib/tinsmith")
LONGEST_SOCKET_PATH = 100  # Linux takes 107 bytes, macOS 103
LONGEST_SOCKET_NAME = "postgres/.s.PGSQL.5432"
UNPRIVILEGED_USERS = ("postgres", "nobody")


class FolderInUse(EmbeddedError):
    """Another launcher runs this data folder."""


class DataFolder:
    """One installation's folder. `open()` takes its lock, `close()` gives it back."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser().absolute()
        self.logs = self.path / "logs"
        self.postgres_user = _unprivileged_user() if os.geteuid() == 0 else None
        self.sockets: Path = self.path / "sockets"
        self.postgres_home: Path = self.path / "postgres"
        self._locks: list[IO[str]] = []

    def open(self) -> None:
        """Make the folder where it is missing and take its lock.

        Raises:
            FolderInUse: another launcher has it.
            EmbeddedError: it cannot be written.
        """
        try:
            if not self.path.exists():
                _make_folders(self.path)
                # as root another user has to get through to its database
                self.path.chmod(0o711 if self.postgres_user else 0o700)
            self._lock(self.path / "launcher.lock")
            self.logs.mkdir(mode=0o700, exist_ok=True)
            self._place_postgres()
            self._lock(self.postgres_home / "launcher.lock")
            self._place_sockets()
        except OSError as error:
            self.close()
            raise EmbeddedError(
                f"cannot use the data folder {self.path}: {error.strerror or error}; "
                "choose another with --data-dir"
            ) from error
        except EmbeddedError:
            self.close()
            raise

    def close(self) -> None:
        """Give the locks back."""
        while self._locks:
            self._locks.pop().close()

    def log(self, name: str) -> Path:
        """The log file of a child."""
        return self.logs / f"{name}.log"

    def secret_key(self) -> str:
        """Django's signing key, made once."""
        file = self.path / "secret_key"
        if not file.exists():
            write_private(file, secrets.token_urlsafe(48))
        return file.read_text().strip()

    def read(self, name: str) -> dict[str, Any]:
        """A JSON file of the folder, empty when it is not there or broken."""
        try:
            return dict(json.loads((self.path / name).read_text()))
        except (OSError, ValueError):
            return {}

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON file for our eyes only."""
        write_private(self.path / name, json.dumps(content, indent=2) + "\n")

    def remove(self, name: str) -> None:
        """Delete a file of the folder, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def _lock(self, path: Path) -> None:
        file = path.open("a+")
        os.chmod(path, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise FolderInUse(
                f"the data folder {self.path} is in use by another launcher (process {holder}); "
                "stop that one or choose another folder with --data-dir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._locks.append(file)

    def _place_postgres(self) -> None:
        """Make PostgreSQL's home where its user can reach it."""
        home = self.postgres_home
        if home.is_symlink() and not home.exists():
            raise EmbeddedError(
                f"the database's folder {os.readlink(home)} is gone, to which {home} points; "
                "put it back, or delete the link to begin with an empty database"
            )
        if not home.exists():
            if self.postgres_user and not can_reach(self.postgres_user, self.path):
                SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
                SYSTEM_HOME.chmod(0o755)
                target = Path(tempfile.mkdtemp(prefix="data-", dir=SYSTEM_HOME))
                home.symlink_to(target)
            else:
                home.mkdir(mode=0o700)
        if self.postgres_user:
            os.chown(home, self.postgres_user.pw_uid, self.postgres_user.pw_gid)
            if not can_reach(self.postgres_user, home.resolve()):
                raise EmbeddedError(
                    f"{self.postgres_user.pw_name}, as whom PostgreSQL runs under root, cannot "
                    f"reach {home.resolve()}: open the folders above it (chmod o+x) or choose "
                    "another with --data-dir"
                )

    def _place_sockets(self) -> None:
        """Choose the sockets' folder: DIR/sockets, or a short private one that it points to."""
        sockets = self.path / "sockets"
        fits = len(os.fsencode(sockets / LONGEST_SOCKET_NAME)) <= LONGEST_SOCKET_PATH
        fits = (
            fits and re.fullmatch(r"[\w/.-]+", str(sockets), re.ASCII) is not None
        )  # goes into URLs
        reachable = self.postgres_user is None or can_reach(self.postgres_user, self.path)
        if not (fits and reachable):
            kept = Path(os.readlink(sockets)) if sockets.is_symlink() else None
            if kept is None or not _is_private(kept):
                if sockets.is_symlink():
                    sockets.unlink()
                elif sockets.exists():
                    shutil.rmtree(sockets)
                kept = Path(tempfile.mkdtemp(prefix="tinsmith-", dir=_short_temporary_folder()))
                sockets.symlink_to(kept)
            sockets = kept
        elif sockets.is_symlink():
            sockets.unlink()
        sockets.mkdir(exist_ok=True)
        sockets.chmod(0o711 if self.postgres_user else 0o700)
        for name, owner in (("postgres", self.postgres_user), ("valkey", None)):
            folder = sockets / name
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
            if owner:
                os.chown(folder, owner.pw_uid, owner.pw_gid)
        self.sockets = sockets


def _make_folders(path: Path) -> None:
    """mkdir -p, the folders above open to others: as root, PostgreSQL's user goes through them."""
    before = os.umask(0o022)
    try:
        path.mkdir(parents=True)
    finally:
        os.umask(before)


def write_private(file: Path, content: str) -> None:
    """Write a file of mode 0600 whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "w") as output:
            output.write(content)
        os.replace(name, file)
    except BaseException:
        os.unlink(name)
        raise


def can_reach(user: pwd.struct_passwd, folder: Path) -> bool:
    """Whether `user` may go into `folder`, asked as that user."""
    return run_as(user, ["/bin/sh", "-c", 'test -x "$1"', "sh", folder], cwd="/").returncode == 0


def _is_private(folder: Path) -> bool:
    try:
        info = folder.lstat()
    except OSError:
        return False
    return folder.is_dir() and info.st_uid == os.geteuid() and not info.st_mode & 0o066


def _short_temporary_folder() -> Path:
    """The first of the usual temporary folders; $TMPDIR may be too long itself."""
    usual = [Path(tempfile.gettempdir()), Path("/tmp")]
    return min((path for path in usual if path.is_dir()), key=lambda path: len(str(path)))


def _unprivileged_user() -> pwd.struct_passwd:
    for name in UNPRIVILEGED_USERS:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise EmbeddedError(
        "PostgreSQL does not run as root and there is no user "
        f"{' or '.join(UNPRIVILEGED_USERS)}: run as an ordinary user, or set DATABASE_URL"
    )
