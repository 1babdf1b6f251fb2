"""Fetches checkpoints: files or one tar file, to a folder that appears only when it is whole."""

from __future__ import annotations

import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from tinsmith import errors
from tinsmith.progress import Bar

if TYPE_CHECKING:
    from tinsmith.rest_checkpoints import Progress

BLOCK = 1 << 20
SILENCE_S = 60.0


def fetch_files(urls: Mapping[str, str], directory: Path, progress: Progress | bool) -> Path:
    """Fetch files by name into a new folder; names that lead out of it are refused."""
    for name in urls:
        _check_name(name)

    def fill(folder: Path, report: Progress) -> None:
        done = 0
        for name, url in urls.items():
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            done += fetch_file(url, target, _after(done, report))

    return _into(directory, progress, fill)


def fetch_archive(url: str, directory: Path, progress: Progress | bool) -> Path:
    """Fetch a tar file and unpack it into a new folder; only plain files are taken."""

    def fill(folder: Path, report: Progress) -> None:
        archive = folder / ".archive"
        fetch_file(url, archive, report)
        try:
            with tarfile.open(archive) as tar:
                for member in tar:
                    if member.isdir():
                        continue
                    if not member.isreg():
                        raise _bad(f"the archive holds {member.name!r}, which is no plain file")
                    _check_name(member.name)
                    target = folder / member.name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    source = tar.extractfile(member)
                    assert source is not None
                    with source, target.open("wb") as out:
                        shutil.copyfileobj(source, out, BLOCK)
        except tarfile.TarError as error:
            raise _bad(f"the archive cannot be read: {error}") from error
        archive.unlink()

    return _into(directory, progress, fill)


def free_place(directory: str | Path) -> Path:
    """The folder's absolute path; raises FileExistsError when something is in it already."""
    place = Path(directory).expanduser().absolute()
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise FileExistsError(f"{place} is there already; choose an empty or a new folder")
    return place


def _into(
    directory: Path, progress: Progress | bool, fill: Callable[[Path, Progress], None]
) -> Path:
    """Fill a temporary folder next to ``directory`` and put it in its place when all went well."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}-"))
    try:
        with Bar(directory.name) as bar:
            report = progress if callable(progress) else bar.update if progress else _silent
            fill(temporary, report)
        temporary.chmod(0o755)
        os.replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def _after(before: int, report: Progress) -> Progress:
    """Reports of one file among several: their sum is not known, only what came before."""
    return lambda done, _: report(before + done, None)


def fetch_file(url: str, target: Path, report: Progress) -> int:
    """Stream a URL to a file; returns its size."""
    if not url.startswith(("http://", "https://")):
        raise _bad(f"{url[:40]!r} is no web address")
    done = 0
    try:
        with urllib.request.urlopen(url, timeout=SILENCE_S) as reply, target.open("wb") as out:
            length = reply.headers.get("Content-Length")
            total = int(length) if length else None
            while block := reply.read(BLOCK):
                out.write(block)
                done += len(block)
                report(done, total)
    except urllib.error.HTTPError as error:
        raise errors.from_status(
            error.code, error.reason, body=None, headers={}, what="a download"
        ) from None
    except OSError as error:
        raise errors.APIConnectionError(f"the download broke off: {error}") from error
    if total is not None and done != total:
        raise errors.APIConnectionError(f"the download broke off after {done} of {total} bytes")
    return done


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise _bad(f"the file name {name!r} leads out of its folder")


def _bad(problem: str) -> errors.APIResponseValidationError:
    return errors.APIResponseValidationError(f"this is no checkpoint: {problem}")


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""
