"""The file system of a jail: what the interpreter needs, read-only, and nothing else.

No home, no /etc, no /proc, no /tmp, no installed packages: the standard library, the system's
shared libraries, the interpreter and /dev/null, at the places where they are.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from dataclasses import dataclass

from . import kernel

BOX = "/box"  # where a program and its input lie, once a jail
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
# Always there, and never part of what is shown: here the new root is put together.
_BUILT_AT = "/proc"


@dataclass(frozen=True)
class View:
    """Paths of this machine: folders and files to show, links to make, folders to hide."""

    shown: tuple[str, ...]
    links: tuple[tuple[str, str], ...]
    hidden: tuple[str, ...]
    python: str
    libraries: str


def of_this_interpreter() -> View:
    """What the Python that runs this needs, without the packages that are installed in it."""
    python = os.path.realpath(sys.executable)
    libraries = os.path.realpath(os.path.join(sys.base_prefix, "lib"))
    folders = [*_LIBRARIES, libraries, os.path.realpath(sysconfig.get_path("stdlib"))]
    if python.startswith("/nix/store/"):
        folders.append("/nix/store")
    links = [(path, os.readlink(path)) for path in folders if os.path.islink(path)]
    real = sorted({path for path in folders if os.path.isdir(path) and not os.path.islink(path)})
    shown = [path for path in real if not any(_is_below(path, other) for other in real)]
    packages = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    packages |= {"/usr/lib/python3/dist-packages", os.path.join(libraries, "site-packages")}
    hidden = sorted(os.path.realpath(path) for path in packages if os.path.isdir(path))
    hidden = [path for path in hidden if any(_is_below(path, folder) for folder in shown)]
    return View((*shown, python), tuple(links), tuple(hidden), python, libraries)


def enter(view: View) -> None:
    """Make it the root of this process; needs a mount namespace of its own."""
    kernel.mount("", "/", flags=kernel.RECURSIVE | kernel.PRIVATE)
    kernel.mount("tmpfs", _BUILT_AT, "tmpfs", options="size=1m,mode=755")
    for path in view.shown:
        _bind(path, _BUILT_AT + path)
    for path, target in view.links:
        os.makedirs(os.path.dirname(_BUILT_AT + path), exist_ok=True)
        os.symlink(target, _BUILT_AT + path)
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
    contents = {name: text.encode(errors="surrogatepass") for name, text in files.items()}
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
