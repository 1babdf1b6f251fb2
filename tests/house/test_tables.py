"""A table is written by the app that it belongs to, and by nobody else.

A statement may span apps where the owner exports its part of it: the words then stand in a file of
the owner's.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_layout import PLATFORM, REPOSITORY, sources

APPS = sorted(path.parent.name for path in PLATFORM.glob("*/models.py"))
_WRITE = re.compile(r"\b(?:INSERT\s+INTO|UPDATE|DELETE\s+FROM)\s+(?:ONLY\s+)?([a-z]+)_[a-z]+")
_WRITING_METHODS = {
    name
    for verb in ("create", "bulk_create", "get_or_create", "update_or_create", "update")
    for name in (verb, f"a{verb}")
} | {"bulk_update", "abulk_update", "delete", "adelete", "save", "asave"}


def written_in_sql(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(app, line) of every table that a text in the file writes."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            for found in _WRITE.finditer(node.value):
                yield found.group(1), node.lineno


def written_through_models(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(app, line) of every writing call on a model's manager, such as `Key.objects.create(…)`."""
    homes = {
        alias.asname or alias.name: node.module.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.endswith(".models")
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in _WRITING_METHODS:
            root = _root(node.value)
            if isinstance(root, ast.Name) and root.id in homes:
                yield homes[root.id], node.lineno


def _root(node: ast.AST) -> ast.AST:
    """What a chain of attributes and calls begins with."""
    while isinstance(node, (ast.Attribute, ast.Call)):
        node = node.value if isinstance(node, ast.Attribute) else node.func
    return node


def writes(path: Path) -> list[tuple[str, int]]:
    """What a file writes, as (app, line)."""
    tree = ast.parse(path.read_text())
    found = [*written_in_sql(tree), *written_through_models(tree)]
    return [(app, line) for app, line in found if app in APPS]


@pytest.mark.parametrize("home", [*(path.name for path in PLATFORM.iterdir()), "gpu_workers"])
def test_a_table_is_written_by_its_own_app(home: str) -> None:
    folder = REPOSITORY / home if home == "gpu_workers" else PLATFORM / home
    assert [
        f"{path.relative_to(REPOSITORY)}:{line} writes a table of {app}"
        for path in sources(folder)
        for app, line in writes(path)
        if app != home
    ] == []


def test_every_table_is_seen_to_be_written() -> None:
    """The rule would hold of nothing if the search found nothing."""
    seen = {app for path in sources(PLATFORM) for app, _ in writes(path)}
    # the catalog changes what it has just read, so nothing names its table
    assert seen == set(APPS) - {"catalog"}


def test_writes_through_models_are_seen() -> None:
    tree = ast.parse("from runs.models import Session\nSession.objects.filter(id=1).update(a=2)")
    assert list(written_through_models(tree)) == [("runs", 2)]
