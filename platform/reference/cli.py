"""Reads the `tinsmith` command's own parser: every command, its arguments and options.

The page `/docs/cli` and the file docs/cli.md are made from it. Of the SDK, the parser's file alone
is loaded, which needs nothing but the standard library.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

from reference.protobuf import sdk_folder

_INTRODUCTION = """\
<!-- Made from the command's own help. To write it anew:
TINSMITH_WRITE_DOCS=1 python3 manage.py test tests/platform/reference/test_cli.py -->"""


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument or option: how it is written, and what it means."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A command with what is its own; options that every command has are told of once."""

    name: str
    text: str
    usage: str
    arguments: list[Argument]

    @property
    def id(self) -> str:
        """Its anchor on the page."""
        return self.name.replace(" ", "-")


@dataclass(frozen=True, slots=True)
class Section:
    """Commands that belong together."""

    id: str
    title: str
    text: str
    commands: list[Command]


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The whole command."""

    name: str
    about: str
    more: str
    common: list[Argument]
    sections: list[Section]


@cache
def reference() -> CommandLine:
    """The command of the SDK that is installed beside the platform."""
    return read(_parser(sdk_folder() / "cli" / "parser.py"))


def read(parser: argparse.ArgumentParser) -> CommandLine:
    """What a parser with commands, and groups of commands, says of itself."""
    top: list[_Named] = []
    groups: list[tuple[_Named, list[_Named]]] = []
    for named in _commands(parser):
        inner = list(_commands(named.parser))
        if inner:
            groups.append((named, inner))
        else:
            top.append(named)
    leaves = [*top, *(named for _, inner in groups for named in inner)]
    common = set.intersection(*(_option_names(named.parser) for named in leaves))
    return CommandLine(
        parser.prog,
        parser.description or "",
        parser.epilog or "",
        [
            _argument(action)
            for action in leaves[0].parser._actions
            if action.option_strings and common.issuperset(action.option_strings)
        ],
        [
            Section("commands", "Commands", "", [_command(named, common) for named in top]),
            *(
                Section(
                    group.name,
                    f"{parser.prog} {group.name}",
                    _sentence(group.text),
                    [_command(named, common) for named in inner],
                )
                for group, inner in groups
            ),
        ],
    )


def as_markdown(shown: CommandLine) -> str:
    """The whole as docs/cli.md has it."""
    lines = [f"# The `{shown.name}` command", "", _INTRODUCTION, "", shown.about, "", shown.more]
    lines += ["", "## Options of every command", "", *_table(shown.common)]
    for section in shown.sections:
        lines += ["", f"## {section.title}"]
        lines += ["", _escaped(section.text)] if section.text else []
        for command in section.commands:
            lines += ["", f"### {shown.name} {command.name}", "", _escaped(command.text)]
            lines += ["", "```sh", command.usage, "```"]
            lines += ["", *_table(command.arguments)] if command.arguments else []
    return "\n".join([*lines, ""])


@dataclass(frozen=True, slots=True)
class _Named:
    name: str
    text: str
    parser: argparse.ArgumentParser


def _parser(file: Path) -> argparse.ArgumentParser:
    spec = spec_from_file_location("tinsmith_command_parser", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    parser: argparse.ArgumentParser = module.build("")
    return parser


def _commands(parser: argparse.ArgumentParser) -> Iterator[_Named]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, inner in action.choices.items():
                yield _Named(name, inner.description or "", inner)


def _option_names(parser: argparse.ArgumentParser) -> set[str]:
    return {name for action in parser._actions for name in action.option_strings}


def _command(named: _Named, common: set[str]) -> Command:
    own = [
        action
        for action in named.parser._actions
        if not action.option_strings or not common.issuperset(action.option_strings)
    ]
    own.sort(key=lambda action: bool(action.option_strings))
    words = [named.parser.prog, *(_in_usage(action) for action in own)]
    return Command(
        named.parser.prog.partition(" ")[2],
        _sentence(named.text),
        " ".join(words),
        [_argument(action) for action in own],
    )


def _argument(action: argparse.Action) -> Argument:
    names = ", ".join(action.option_strings)
    value = _value(action)
    shown = f"{names} {value}".strip() if names else value
    return Argument(shown, action.help or "")


def _in_usage(action: argparse.Action) -> str:
    value = _value(action)
    if action.option_strings:
        return f"[{action.option_strings[-1]} {value}".strip() + "]"
    if action.nargs == argparse.ONE_OR_MORE:
        return f"{value} [{value} ...]"
    return f"[{value}]" if action.nargs == argparse.OPTIONAL else value


def _value(action: argparse.Action) -> str:
    """What stands for the value; nothing for an option that takes none."""
    if action.nargs == 0:
        return ""
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper() if action.option_strings else action.dest


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}{'' if words.endswith(('.', '…')) else '.'}"


def _table(arguments: list[Argument]) -> list[str]:
    rows = [f"| `{_in_cell(item.name)}` | {_escaped(item.text)} |" for item in arguments]
    return ["| | |", "|---|---|", *rows]


def _in_cell(text: str) -> str:
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text that Markdown shows as it is, but for code in backticks."""
    return re.sub(r"[<|*]", r"\\\g<0>", text)
