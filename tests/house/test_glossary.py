"""One word for one thing: every table has its word, and what is never to be said is not said."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings

from tests.conftest import REPOSITORY

GLOSSARY = REPOSITORY / "docs" / "glossary.md"
ROW = re.compile(
    r"^\| (?P<words>[^|]+?) \| (?P<what>[^|]+?) \| ?(?P<never>[^|]*?) ?\|$", re.MULTILINE
)
# The app's name, as Django's own examples have it: imports, labels, tables and paths.
APP = re.compile(r"\baccounts(?=[./_\"])|\b(?:from|as) accounts\b")
PLACES = ("platform", "gpu_workers", "sdk", "recipes", "frontend", "docs", "README.md", "manage.py")
KINDS = {".py", ".md", ".html", ".js", ".css", ".ts", ".tsx", ".proto"}
# A word that may stand where a path begins so, and why. Empty: nothing else may have it.
ALLOWED = {
    "organization": {
        "platform/audit/services.py": "the wire's name of a group of audit events",
        "sdk/src/tinsmith/": "names of the public client's types",
    },
    "account": {
        "gpu_workers/engine/": "whose memory waiting files are booked to",
        "sdk/src/tinsmith/cli/": "a module's name: login, logout, whoami",
        "platform/accounts/apps.py": "how Django names the app's configuration",
        "README.md": "of a model hub",
    },
    "ticket": {
        "gpu_workers/engine/": "the engine knows no futures: whom a request's result goes to"
    },
    "promise": {"docs/": "what the platform holds to", "frontend/src/": "JavaScript's own word"},
    "permission": {"": "what a file system grants, and Python's PermissionError"},
}


@dataclass(frozen=True)
class Found:
    """A forbidden word in a file."""

    word: str
    path: str
    line: int
    text: str


def rows() -> Iterator[tuple[list[str], list[str]]]:
    """(words, words never to say) of every row; those in parentheses are left out."""
    for row in ROW.finditer(GLOSSARY.read_text()):
        if row["words"] in {"word", "---"}:
            continue
        never = re.sub(r"\([^)]*\)", "", row["never"])
        yield (
            [word.strip() for word in row["words"].split(",")],
            [word.strip() for word in never.split(",") if word.strip()],
        )


def words_of(text: str) -> str:
    """A line as plain words in the singular: identifiers taken apart, in lower case."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", APP.sub("", text))
    return " ".join(re.sub(r"(?<!s)s$", "", part.lower()) for part in parts)


def files() -> Iterator[Path]:
    """What people read and write, but for generated files and for texts that are data."""
    for place in PLACES:
        path = REPOSITORY / place
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            generated = "_pb2" in file.name or {"node_modules", "dist"} & set(file.parts)
            if file.suffix in KINDS and not generated and file != GLOSSARY:
                yield file


def found(forbidden: set[str]) -> Iterator[Found]:
    """Every occurrence of a forbidden word that nothing allows."""
    patterns = {word: re.compile(rf"\b{re.escape(word)}\b") for word in forbidden}
    for file in files():
        path = file.relative_to(REPOSITORY).as_posix()
        for number, line in enumerate(file.read_text().splitlines(), 1):
            plain = words_of(line)
            for word, pattern in patterns.items():
                if pattern.search(plain) and not path.startswith(tuple(ALLOWED.get(word, ()))):
                    yield Found(word, path, number, line.strip())


def test_every_table_has_its_word() -> None:
    known = {word.lower() for words, _ in rows() for word in words}
    tables = {
        model._meta.verbose_name.lower()
        for model in apps.get_models()
        if model._meta.app_label in settings.OUR_APPS
    }
    assert len(tables) > 15
    assert tables - known == set()


def test_no_word_stands_twice() -> None:
    words = [word for row, _ in rows() for word in row if word != "entry"]  # of both ledgers
    assert sorted(words) == sorted(set(words))


def test_what_is_never_to_be_said_is_not_said() -> None:
    forbidden = {word for _, never in rows() for word in never}
    assert "workspace" in forbidden
    assert [str(item) for item in found(forbidden)] == []


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("class WorkspaceList:", "workspace"),
        ("def list_workspaces(self)", "workspace"),
        ("the inference sessions of", "inference session"),
        ("MAX_EXPERIMENTS = 3", "experiment"),
    ],
)
def test_identifiers_are_taken_apart(line: str, word: str) -> None:
    assert re.search(rf"\b{word}\b", words_of(line))


def test_nothing_is_allowed_that_does_not_occur() -> None:
    for word, places in ALLOWED.items():
        for place in places:
            assert any(
                re.search(rf"\b{word}\b", words_of(file.read_text()))
                for file in files()
                if file.relative_to(REPOSITORY).as_posix().startswith(place)
            ), f"{word} is allowed below {place!r} for nothing"
