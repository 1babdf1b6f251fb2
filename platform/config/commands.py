"""The commands beside `up`, `demo` and `test`: their list in `manage.py help`, running them."""

from __future__ import annotations

import difflib
import sys
import textwrap
from collections.abc import Sequence

import django
from django.core.management import execute_from_command_line, get_commands, load_command_class

from config.env import REPOSITORY, BadEnvironment

WIDTH = 100


def describe() -> str:
    """Our apps' commands with what they do, then the names of the others."""
    django.setup()
    known = get_commands()
    ours = {name: app for name, app in sorted(known.items()) if _is_ours(app)}
    lines = ["Commands of our apps:", ""]
    for name, app in ours.items():
        lines.append(f"    {name:<24} {load_command_class(app, name).help}")
    lines += [
        "",
        "Commands of Django and other libraries (`manage.py help COMMAND` explains one):",
        "",
    ]
    names = ", ".join(sorted(set(known) - set(ours)))
    lines += textwrap.wrap(names, WIDTH, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([*lines, ""])


def execute(argv: Sequence[str]) -> None:
    """Run a command by Django's own dispatcher; ends the process if there is none of that name."""
    name = argv[1]
    try:
        django.setup()
    except BadEnvironment as error:
        sys.exit(f"manage.py: {error}")
    if not name.startswith("-") and name not in {*get_commands(), "help", "version"}:
        near = difflib.get_close_matches(name, get_commands(), 1)
        meant = f"; did you mean {near[0]}?" if near else "; `manage.py help` lists them"
        sys.exit(f"manage.py: there is no command {name!r}{meant}")
    execute_from_command_line(list(argv))


def _is_ours(app: str) -> bool:
    return (REPOSITORY / "platform" / app).is_dir()
