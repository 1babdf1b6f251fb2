"""Sampler versions in memory: frozen adapters, the least recently used given up for the budget.

A version is immutable, so what was given up is read again from its directory and is the same.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from gpu_workers.engine.lora.context import Adapter

LoadAdapter = Callable[[Path], Adapter]
"""Read a frozen adapter from the PEFT files of a directory."""


class Version:
    """A frozen adapter, and how many requests are using it."""

    __slots__ = ("adapter", "name", "nbytes", "users")

    def __init__(self, name: str, adapter: Adapter) -> None:
        self.name, self.adapter, self.users = name, adapter, 0
        storages = {
            matrix.untyped_storage().data_ptr(): matrix.untyped_storage().nbytes()
            for a, b, _ in filter(None, adapter.weights)
            for matrix in (a, b)
        }
        self.nbytes = sum(storages.values())


class VersionStore:
    """Versions by name, in order of last use. Thread-safe, but loading is left to one thread."""

    def __init__(self, load: LoadAdapter, budget_bytes: int) -> None:
        """Keeps at most `budget_bytes`, except that a version in use is never given up."""
        self._load = load
        self._budget = budget_bytes
        self._versions: OrderedDict[str, Version] = OrderedDict()
        self._lock = threading.Lock()
        self.loads = 0

    def publish(self, name: str, adapter: Adapter) -> None:
        """Keep a frozen adapter under a name. Requests that run keep what they began with."""
        with self._lock:
            self._versions[name] = Version(name, adapter)
            self._versions.move_to_end(name)
            self._shrink()

    def acquire(self, name: str, directory: Path | None) -> Version:
        """The version, read from `directory` if it is not in memory; `release` it after use."""
        with self._lock:
            version = self._versions.get(name)
        if version is None:
            if directory is None:
                raise LookupError(f"Sampler version {name} is not in memory and has no files.")
            version = Version(name, self._load(directory))
            self.loads += 1
        with self._lock:
            version = self._versions.setdefault(name, version)
            self._versions.move_to_end(name)
            version.users += 1
            self._shrink()
        return version

    def read(self, name: str, directory: Path) -> Adapter:
        """The version's adapter, for who keeps it no longer than its own work."""
        version = self.acquire(name, directory)
        self.release(version)
        return version.adapter

    def release(self, version: Version) -> None:
        """Say that one request has done with the version."""
        with self._lock:
            version.users -= 1
            self._shrink()

    def drop(self, name: str) -> None:
        """Forget a version; unknown names are fine. Requests that run with it go on."""
        with self._lock:
            self._versions.pop(name, None)

    def nbytes(self) -> int:
        """Bytes of all versions in memory."""
        with self._lock:
            return sum(version.nbytes for version in self._versions.values())

    def __len__(self) -> int:
        return len(self._versions)

    def __contains__(self, name: str) -> bool:
        return name in self._versions

    def _shrink(self) -> None:
        held = sum(version.nbytes for version in self._versions.values())
        for name in list(self._versions):
            if held <= self._budget:
                return
            version = self._versions[name]
            if version.users == 0 and version is not next(reversed(self._versions.values())):
                del self._versions[name]
                held -= version.nbytes
