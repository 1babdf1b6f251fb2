"""The options of `manage.py up` and `demo`, each checked before anything is installed or started.

The standard library alone: manage.py reads them before there is a virtual environment.
"""

from __future__ import annotations

import argparse
import difflib
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from config.env import data_folder

DEFAULT_PORT = 8000
DESCRIPTIONS = {
    "up": "Run the whole platform on this machine until Ctrl-C.",
    "demo": "Run the platform, fine-tune a small model on it, go on serving.",
}


class BadOption(ValueError):
    """An option's value cannot be used; the message says why and what to do."""


def read(command: str, argv: Sequence[str]) -> argparse.Namespace:
    """The options of `up` or `demo`; ends the process where one of them cannot be used."""
    parser = _parser(command)
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        parser.error(parser.unknown(unknown[0]))
    try:
        _check(options)
    except BadOption as error:
        parser.error(str(error))
    return options


def require_free(host: str, port: int) -> None:
    """Make sure that we can listen there; port 0 asks whether there is any.

    Raises:
        BadOption: we cannot.
    """
    try:
        listen_on(host, port).close()
    except OSError as error:
        raise BadOption(
            f"cannot listen on {host}:{port}: {error.strerror or error}; "
            "choose another with --port (0: any free one) or --host"
        ) from error


def listen_on(host: str, port: int) -> socket.socket:
    """A socket that is bound to the address."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, with the option that may have been meant."""

    def unknown(self, word: str) -> str:
        """What to say of an argument that there is not."""
        if not word.startswith("-"):
            return f"{word!r} belongs to no option"
        known = [name for name in self._option_string_actions if name.startswith("--")]
        near = difflib.get_close_matches(word.partition("=")[0], known, 1)
        meant = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(sorted(known))}"
        return f"there is no option {word.partition('=')[0]}{meant}"

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parser(command: str) -> _Parser:
    parser = _Parser(
        prog=f"manage.py {command}", description=DESCRIPTIONS[command], allow_abbrev=False
    )
    parser.add_argument(
        "--data-dir",
        type=_path,
        default=data_folder(),
        metavar="DIR",
        help="where everything is kept (default: %(default)s)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: this machine only)"
    )
    parser.add_argument(
        "--port", type=_port, default=DEFAULT_PORT, help="default: %(default)s; 0: any free port"
    )
    parser.add_argument(
        "--ready-file",
        type=_path,
        metavar="F",
        help="once everything answers, write url, api_key, admin_username, admin_password to F",
    )
    parser.add_argument(
        "--model",
        type=_model,
        action="append",
        default=[],
        metavar="NAME=PATH_OR_HUB_ID",
        help="offer one more base model; may be given several times",
    )
    if command == "demo":
        parser.add_argument(
            "--once",
            action="store_true",
            help="stop after the demo; the status is 0 only if the model has learnt its task",
        )
    return parser


def _path(value: str) -> Path:
    if not value:
        raise argparse.ArgumentTypeError("it is empty: name a path")
    try:
        return Path(value).expanduser().absolute()
    except RuntimeError as error:  # ~somebody who does not exist
        raise argparse.ArgumentTypeError(f"{value!r}: {error}") from error


def _port(value: str) -> int:
    if not (value.isascii() and value.isdigit()) or int(value) > 65535:
        raise argparse.ArgumentTypeError(f"{value!r} is not a port: use 0 to 65535")
    return int(value)


def _model(value: str) -> tuple[str, str]:
    name, equals, source = value.partition("=")
    if not (name and equals and source):
        raise argparse.ArgumentTypeError(f"{value!r}: write NAME=PATH_OR_HUB_ID")
    return name, source


def _check(options: argparse.Namespace) -> None:
    _check_data_folder(options.data_dir)
    if options.ready_file:
        _check_ready_file(options.ready_file, options.data_dir)
    names = [name for name, _ in options.model]
    for name, source in options.model:
        if names.count(name) > 1:
            raise BadOption(f"--model {name}=…: the name is given twice")
        _check_source(name, source)
    if not options.host:
        raise BadOption("--host is empty: name an address; 0.0.0.0 means all of this machine's")
    require_free(options.host, options.port)


def _check_data_folder(folder: Path) -> None:
    """A folder that we can write, or a place where one can be made."""
    there = next(path for path in (folder, *folder.parents) if os.path.lexists(path))
    what = f"--data-dir {folder}: " + ("it" if there == folder else f"{there} above it")
    if not there.is_dir():
        raise BadOption(f"{what} is not a folder")
    if not os.access(there, os.W_OK | os.X_OK):
        raise BadOption(f"{what} cannot be written by this user")


def _check_ready_file(file: Path, data_folder: Path) -> None:
    """A place for a file; the data folder itself may be one that `up` will make."""
    folder = file.parent
    if file.is_dir():
        raise BadOption(f"--ready-file {file} is a folder: name a file")
    if folder == data_folder and not folder.exists():
        return
    if not folder.is_dir():
        raise BadOption(f"--ready-file {file}: there is no folder {folder}; make it first")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise BadOption(f"--ready-file {file}: {folder} cannot be written by this user")


def _check_source(name: str, source: str) -> None:
    """What can be said of a model without reading it; the catalog says the rest."""
    folder = Path(source).expanduser() if not source.startswith("~") else _path(source)
    if source.startswith(("/", ".", "~")) and not folder.is_dir():
        raise BadOption(f"--model {name}={source}: there is no folder {folder}")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise BadOption(f"--model {name}={source}: the folder holds no config.json, as models do")
