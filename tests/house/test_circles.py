"""No two files import each other, however long the way round, in the whole repository.

An import inside a function counts, too: it only hides a circle. What stands under
`if TYPE_CHECKING` does not: nothing is loaded there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY

# where modules begin, and what lies there
ROOTS = {
    REPOSITORY / "platform": ["."],
    REPOSITORY / "sdk" / "src": ["tinsmith"],
    REPOSITORY / "recipes" / "src": ["tinsmith_recipes"],
    REPOSITORY: ["gpu_workers", "tests"],
}


def modules() -> dict[str, Path]:
    """Every file of ours by its dotted name."""
    found = {}
    for root, folders in ROOTS.items():
        for folder in folders:
            for path in sorted((root / folder).rglob("*.py")):
                parts = path.relative_to(root).with_suffix("").parts
                name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
                found[name] = path
    return found


def imported(name: str, path: Path, known: dict[str, Path]) -> set[str]:
    """The modules of ours that a file loads."""
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in loaded(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        else:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            module = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            inner = {f"{module}.{alias.name}" for alias in node.names}
            found |= inner & known.keys() or {module}
    return found & known.keys() - {name}


def loaded(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """The imports below a node that are done when the program runs."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
        return
    children = ast.iter_child_nodes(node)
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children = iter(node.orelse)
    for child in children:
        yield from loaded(child)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The modules of one circle, in the order of their imports; none if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


def test_no_import_goes_round_in_a_circle() -> None:
    known = modules()
    assert {"core.lane", "tinsmith", "gpu_workers.process.worker", "tests.conftest"} <= known.keys()
    graph = {name: imported(name, path, known) for name, path in known.items()}
    assert sum(map(len, graph.values())) > 1000
    assert circle(graph) == []


@pytest.mark.parametrize(
    ("first", "is_circle"),
    [
        ("from b import x", True),
        ("import b", True),
        ("def later():\n    from b import x", True),
        ("if True:\n    import b", True),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import b", False),
    ],
)
def test_a_circle_would_be_found(tmp_path: Path, first: str, is_circle: bool) -> None:
    (tmp_path / "a.py").write_text(first)
    (tmp_path / "b.py").write_text("from c import z")
    (tmp_path / "c.py").write_text("import a")
    known = {name: tmp_path / f"{name}.py" for name in "abc"}
    graph = {name: imported(name, path, known) for name, path in known.items()}
    assert bool(circle(graph)) == is_circle
