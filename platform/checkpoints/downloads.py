"""Checkpoints as files to download: the PEFT files one by one, or as one tar archive."""

from __future__ import annotations

import asyncio
import hashlib
import tarfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from audit import services as audit
from checkpoints import store
from checkpoints.encryption import SUFFIX
from checkpoints.services import LIVE, CheckpointInfo
from core import database, links
from core.errors import NotFound

PEFT_FILES = ("adapter_config.json", "adapter_model.safetensors")
# old clients take an archive without this file for one that is cut short
COMPLETE = "checkpoint_complete"
ARCHIVE = "checkpoint.tar"
CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Links:
    """Signed addresses (token and file name, by file name) and when they expire."""

    signed: dict[str, str]
    expires: datetime


@dataclass(frozen=True, slots=True)
class File:
    """A file as a part of what is sent."""

    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class Download:
    """Bytes to send: parts one after another, how many they are, and a name for exactly these."""

    name: str
    parts: tuple[bytes | File, ...]
    version: str

    @property
    def size(self) -> int:
        """The number of bytes."""
        return sum(_size(part) for part in self.parts)

    async def read(self, start: int, end: int) -> AsyncGenerator[bytes]:
        """The bytes from `start` up to `end`, never whole in memory; nothing else is read."""
        for part in self.parts:
            size = _size(part)
            first, last = max(0, start), min(size, end)
            if first >= last:
                pass
            elif isinstance(part, bytes):
                yield part[first:last]
            else:
                async with aclosing(_read(part.path, first, last)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            start, end = start - size, end - size


async def link_files(*, actor: Actor, found: CheckpointInfo) -> Links:
    """A signed address for each file of a checkpoint that the actor may read."""
    return await _link(actor, found, dict.fromkeys(_names(encrypted=found.encrypted), "file"))


async def link_archive(*, actor: Actor, found: CheckpointInfo, name: str = ARCHIVE) -> Links:
    """A signed address for the checkpoint as a tar archive, which is to be called `name`."""
    return await _link(actor, found, {name: "archive"})


async def _link(actor: Actor, found: CheckpointInfo, wanted: dict[str, str]) -> Links:
    rights.require(actor, Right.DOWNLOAD_CHECKPOINT)
    _existing(store.path(found.key), _names(encrypted=found.encrypted))
    expires = links.expiry(found.expires_at)
    async with database.transaction() as conn:
        await audit.record(conn, actor, "checkpoint.read", found.path, purpose="download")
    signed = {
        name: links.sign(expires, kind=kind, checkpoint=found.id, name=name)
        for name, kind in wanted.items()
    }
    return Links(signed, expires)


async def open_download(claims: dict[str, Any]) -> Download:
    """What a signed address of a checkpoint gives.

    Raises:
        NotFound: the checkpoint or its files are gone.
    """
    folder, saved_at, names = await _folder_of(claims["checkpoint"])
    wanted: str = claims["name"]
    # the files of a key are written once
    version = hashlib.sha256(f"{folder} {saved_at.isoformat()} {wanted}".encode()).hexdigest()[:32]
    if claims["kind"] == "archive":
        files = _existing(folder, names)
        return Download(wanted, tuple(_tar(folder, files, int(saved_at.timestamp()))), version)
    if wanted not in names:
        raise NotFound("the checkpoint has no such file")
    (size,) = _existing(folder, (wanted,)).values()
    return Download(wanted, (File(folder / wanted, size),), version)


async def _folder_of(checkpoint_id: int) -> tuple[Path, datetime, tuple[str, ...]]:
    """Where a checkpoint's files are, since when, and their names: no other leads anywhere."""
    async with database.connection() as conn:
        row = await (
            await conn.execute(
                f"""
                SELECT c.key, c.created_at, c.encrypted FROM checkpoints_checkpoint c
                WHERE c.id = %s AND {LIVE}
                """,
                (checkpoint_id,),
            )
        ).fetchone()
    if row is None:
        raise NotFound("the checkpoint has been deleted")
    return store.path(row[0]), row[1], _names(encrypted=row[2])


def _names(*, encrypted: bool) -> tuple[str, ...]:
    return tuple(name + SUFFIX for name in PEFT_FILES) if encrypted else PEFT_FILES


def _existing(folder: Path, names: tuple[str, ...]) -> dict[str, int]:
    """The sizes of a checkpoint's files, by name."""
    try:
        return {name: (folder / name).stat().st_size for name in names}
    except OSError:
        raise NotFound("the files of the checkpoint are gone") from None


async def _read(path: Path, start: int, end: int) -> AsyncGenerator[bytes]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        file.seek(start)
        while start < end and (
            chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, end - start))
        ):
            start += len(chunk)
            yield chunk
    finally:
        with suppress(OSError):
            file.close()


def _size(part: bytes | File) -> int:
    return len(part) if isinstance(part, bytes) else part.size


def _tar(folder: Path, files: dict[str, int], saved_at: int) -> Iterator[bytes | File]:
    """The parts of a tar archive of plain files, which is never made as a whole."""
    for name, size in files.items():
        yield _tar_header(name, size, saved_at)
        yield File(folder / name, size)
        yield bytes(-size % tarfile.BLOCKSIZE)
    yield _tar_header(COMPLETE, 0, saved_at)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _tar_header(name: str, size: int, saved_at: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mtime, member.mode = size, saved_at, 0o644
    return member.tobuf(tarfile.GNU_FORMAT)
