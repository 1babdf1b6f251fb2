"""The file system of a jail: what the interpreter needs, read-only, and nothing else.

No home, no /etc, no /proc, no /tmp, no installed packages: the standard library, the folders of the
shared libraries, the interpreter and /dev/null, at the places where they are.
"""

from __future__ import annotations

import glob
import os
import sys
import sysconfig
from dataclasses import dataclass

from . import kernel

BOX = "/box"  # where a program and its input lie, once a jail
_MAYBE_LINKS = ("/lib", "/lib64", "/usr/lib64")
_LOADERS = "/lib*/ld-*.so*"
# Always there, and never part of what is shown: here the new root is put together.
_BUILT_AT = "/proc"


@dataclass(frozen=True)
class View:
    """Paths of this machine: folders and files to show, links to make, folders to hide.

    `libraries` is where those that come with this Python are, if any do.
    """

    shown: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    python: str
    libraries: str


def of_this_interpreter() -> View:
    """What the Python that runs this needs, without the packages that are installed in it."""
    python = os.path.realpath(sys.executable)
    folders = {os.path.realpath(sysconfig.get_path("stdlib")), *_folders_of_libraries()}
    if python.startswith("/nix/store/"):
        folders.add("/nix/store")
    top = sorted(path for path in folders if not any(_is_below(path, one) for one in folders))
    loaders = [
        os.path.realpath(os.path.dirname(path)) + "/" + os.path.basename(path)
        for path in glob.glob(_LOADERS)
    ]
    files = [
        path
        for path in (*sorted(set(loaders)), python)
        if not any(_is_below(path, one) for one in top)
    ]
    links = [(path, os.readlink(path)) for path in _MAYBE_LINKS if os.path.islink(path)]
    packages = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    packages.add("/usr/lib/python3/dist-packages")
    hidden = [
        path
        for path in sorted(packages)
        if os.path.isdir(path) and any(_is_below(path, one) for one in top)
    ]
    libraries = os.path.realpath(os.path.join(sys.base_prefix, "lib"))
    return View((*top, *files), tuple(links), tuple(hidden), python, libraries)


def _folders_of_libraries() -> set[str]:
    """Where the shared libraries are that this process has loaded; the others lie beside them."""
    with open("/proc/self/maps") as maps:
        paths = {line.split(maxsplit=5)[5].strip() for line in maps if ".so" in line}
    return {os.path.dirname(path) for path in paths if os.path.isfile(path)}


def enter(view: View) -> None:
    """Make it the root of this process; needs a mount namespace of its own."""
    kernel.mount("", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("tmpfs", _BUILT_AT, "tmpfs", options="size=1m,mode=755")
    for path, target in view.links:
        os.makedirs(os.path.dirname(_BUILT_AT + path), exist_ok=True)
        os.symlink(target, _BUILT_AT + path)
    for path in view.shown:
        _bind(path, _BUILT_AT + path)
    for path in view.hidden:
        kernel.mount("tmpfs", _BUILT_AT + path, "tmpfs", options="size=4k,mode=755")
    null = _BUILT_AT + os.devnull
    _make_file(null)
    os.mkdir(_BUILT_AT + BOX)
    only = kernel.READ_ONLY | kernel.NO_SUID
    kernel.restrict_mount(_BUILT_AT, only | kernel.NO_DEVICES, recursive=True)
    kernel.mount(os.devnull, null, flags=kernel.BIND)
    kernel.restrict_mount(null, only | kernel.NO_EXEC)
    kernel.change_root(_BUILT_AT)


def fill_box(files: dict[str, str]) -> None:
    """Put files into the box, which nobody can write to after that."""
    contents = {name: text.encode(errors="replace") for name, text in files.items()}
    room = sum(len(content) for content in contents.values()) + 4096 * (len(contents) + 1)
    kernel.mount("tmpfs", BOX, "tmpfs", options=f"size={room},mode=755")
    for name, content in contents.items():
        with open(f"{BOX}/{name}", "wb") as file:
            file.write(content)
    flags = kernel.READ_ONLY | kernel.NO_SUID | kernel.NO_DEVICES | kernel.NO_EXEC
    kernel.restrict_mount(BOX, flags)


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(folder + "/")


def _bind(path: str, at: str) -> None:
    if os.path.isdir(path):
        os.makedirs(at, exist_ok=True)
    else:
        _make_file(at)
    kernel.mount(path, at, flags=kernel.BIND | kernel.RECURSIVE)


def _make_file(path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w"):
        pass
