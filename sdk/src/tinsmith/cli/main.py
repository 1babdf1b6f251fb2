"""Reads the command line, runs one command, and turns failures into words and exit codes."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tinsmith._version import __version__
from tinsmith.cli.command import Command
from tinsmith.cli.parser import build
from tinsmith.errors import TinsmithError

if TYPE_CHECKING:
    pass

DONE, FAILED, NOT_UNDERSTOOD, INTERRUPTED = 0, 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if given[:1] == ["_words"]:  # a completion script asks
        from tinsmith.cli.completion import candidates

        print(*candidates(given[2:]), sep="\n")
        return DONE
    parser = build(__version__)
    try:
        parsed = parser.parse_args(given)
    except SystemExit as end:  # argparse has said what is wrong
        return end.code if isinstance(end.code, int) else NOT_UNDERSTOOD
    command = Command(parsed)
    try:
        try:
            module = importlib.import_module(_module(parsed.module))
            code = getattr(module, parsed.function)(command)
        finally:
            command.close()
        sys.stdout.flush()
        return code or DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except EOFError:
        print(file=sys.stderr)  # the line with the question ends here
        return _complain(command, "the input ended before an answer; nothing was done", FAILED)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written at exit either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (TinsmithError, OSError, ValueError, ImportError) as error:
        return _complain(command, str(error) or type(error).__name__, FAILED)


def _module(name: str) -> str:
    """One of ours has a plain name; one that another package added is named in full."""
    return name if "." in name else f"tinsmith.cli.{name}"


def _complain(command: Command, words: str, code: int) -> int:
    """Say what went wrong on standard error, as JSON when that was asked for."""
    if command.out.as_json:
        import json

        print(json.dumps({"error": words}, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"tinsmith: {words}", file=sys.stderr)
    return code
