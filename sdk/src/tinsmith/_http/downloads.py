"""Fetches checkpoints: files or one tar file, to a folder that appears only when it is whole.

A connection that breaks is made again, and the download goes on where it was.
"""

from __future__ import annotations

import errno
import http.client
import os
import shutil
import tarfile
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from tinsmith import errors
from tinsmith._words.progress import Bar, Progress

BLOCK = 1 << 20
SILENCE_S = 60.0
# attempts in a row that bring nothing
ATTEMPTS = 5
PAUSE_S = 0.5
LONGEST_PAUSE_S = 8.0


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
    """Stream a URL to a file, going on where the connection broke; returns its size."""
    if not url.startswith(("http://", "https://")):
        raise _bad(f"{url[:40]!r} is no web address")
    with target.open("wb") as out:
        transfer = _Transfer(url, out, report)
        in_vain = 0
        while True:
            before = transfer.done
            try:
                transfer.go_on()
                return transfer.done
            except _Cut as cut:
                in_vain = 0 if transfer.done > before else in_vain + 1
                if in_vain >= ATTEMPTS:
                    raise errors.APIConnectionError(
                        f"the download broke off after {transfer}: {cut}"
                    ) from cut.__cause__
                time.sleep(min(PAUSE_S * 2**in_vain, LONGEST_PAUSE_S))


class _Cut(Exception):
    """The connection broke, or the server cannot answer at the moment."""


class _Transfer:
    """A file on its way: how much of it is there, and of which version."""

    def __init__(self, url: str, out: BinaryIO, report: Progress) -> None:
        self._url, self._out, self._report = url, out, report
        self._version: str | None = None
        self._total: int | None = None
        self.done = 0

    def __str__(self) -> str:
        total = "" if self._total is None else f" of {self._total}"
        return f"{self.done}{total} bytes"

    def go_on(self) -> None:
        """Fetch what is missing. Raises _Cut, and the error of a refusal."""
        try:
            with urllib.request.urlopen(self._request(), timeout=SILENCE_S) as reply:
                self._begin(reply)
                while block := reply.read(BLOCK):
                    self._out.write(block)
                    self.done += len(block)
                    self._report(self.done, self._total)
        except urllib.error.HTTPError as error:
            with error:
                if error.code >= 500 or error.code == 429:
                    raise _Cut(f"HTTP {error.code} {error.reason}") from None
                raise errors.from_status(
                    error.code, error.reason, body=None, headers={}, what="a download"
                ) from None
        except (http.client.HTTPException, OSError) as error:
            if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise _Cut(str(error)) from error
        if self._total is not None and self.done != self._total:
            raise _Cut("the connection was closed")

    def _request(self) -> urllib.request.Request:
        request = urllib.request.Request(self._url)
        if self.done and self._version is not None:
            request.add_header("Range", f"bytes={self.done}-")
            request.add_header("If-Range", self._version)
        return request

    def _begin(self, reply: http.client.HTTPResponse) -> None:
        """Take up a reply: the rest, or everything if the server has it no other way."""
        length = reply.headers.get("Content-Length")
        begins = f"bytes {self.done}-"
        if reply.status == 206 and reply.headers.get("Content-Range", "").startswith(begins):
            return
        self._out.seek(0)
        self._out.truncate()
        self.done = 0
        self._version = reply.headers.get("ETag")
        self._total = int(length) if length else None
        if reply.status == 206:
            self._version = None
            raise _Cut("the server sent another part than was asked for")


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name:
        raise _bad(f"the file name {name!r} leads out of its folder")


def _bad(problem: str) -> errors.APIResponseValidationError:
    return errors.APIResponseValidationError(f"this is no checkpoint: {problem}")


def _silent(done: int, total: int | None) -> None:
    """Tell nobody."""
