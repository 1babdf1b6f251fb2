"""What is written about the `tinsmith` command: docs/cli.md and the page, from its own parser."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

import pytest

from reference import cli
from tests.conftest import REPOSITORY
from tests.platform.reference.test_pages import page

FILE = REPOSITORY / "docs" / "cli.md"
EVERY = [command for section in cli.reference().sections for command in section.commands]


def test_the_file_is_up_to_date() -> None:
    made = cli.as_markdown(cli.reference())
    if os.environ.get("TINSMITH_WRITE_DOCS"):
        FILE.write_text(made)
    assert FILE.read_text() == made, "write it anew: see the file's first lines"


@pytest.mark.parametrize("command", EVERY, ids=lambda command: command.id)
def test_every_argument_of_the_real_command_is_told_of(command: cli.Command) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "tinsmith.cli", *command.name.split(), "--help"],
        env={**os.environ, "COLUMNS": "1000", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    everywhere = cli.reference().common
    usage, _, described = told.partition("\n\n")
    for argument in (*command.arguments, *everywhere):
        assert argument.text, f"{argument.name} is not explained"
        assert argument.text in described
        for word in argument.name.replace(",", " ").split()[:1]:
            assert word in usage
    options = {word.strip("[]") for word in usage.split() if word.startswith("[-")}
    shown = {
        name
        for argument in (*command.arguments, *everywhere)
        for name in argument.name.replace(",", " ").split()
        if name.startswith("-")
    }
    assert options <= shown
    assert command.text.rstrip(".").lower() in described.lower()


def test_the_page_shows_every_command() -> None:
    shown = page("/docs/cli")
    for command in EVERY:
        assert f"command-{command.id}" in shown.ids
        assert command.usage in shown.text
        for argument in command.arguments:
            assert argument.name in shown.text
            assert argument.text in shown.text
    assert "2 not understood, 130 interrupted." in shown.text


def test_arguments_are_shown_as_they_are_written() -> None:
    parser = argparse.ArgumentParser(prog="tool", description="Does it.")
    commands = parser.add_subparsers()
    one = commands.add_parser("one", description="do one|two of <these>")
    one.add_argument("paths", nargs="+", metavar="path", help="what to *take*")
    one.add_argument("where", nargs="?")
    one.add_argument("-f", "--force", action="store_true", help="ask nobody")
    one.add_argument("--by", choices=["a", "b"])
    group = commands.add_parser("group", description="two of them")
    group.add_subparsers().add_parser("two", description="do two")
    shown = cli.read(parser)
    assert [argument.name for argument in shown.common] == ["-h, --help"]
    (top, inner) = shown.sections
    assert (inner.title, [command.name for command in inner.commands]) == (
        "tool group",
        ["group two"],
    )
    (command,) = top.commands
    assert command.usage == "tool one path [path ...] [where] [--force] [--by {a,b}]"
    assert [argument.name for argument in command.arguments] == [
        "path",
        "where",
        "-f, --force",
        "--by {a,b}",
    ]
    text = cli.as_markdown(shown)
    assert "Do one\\|two of \\<these>." in text
    assert "| `path` | what to \\*take\\* |" in text
