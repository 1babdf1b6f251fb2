"""docs/versioning.md: one version everywhere, and no route or message field of a release goes away.

To write the list anew at a release: TINSMITH_WRITE_DOCS=1 pytest tests/house/test_versions.py
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import tinsmith
from reference.document import document
from tests.conftest import REPOSITORY
from tinsmith.wire import wire_pb2

LIST = Path(__file__).with_name("wire.txt")


def fields() -> Iterator[str]:
    """Every field of every protobuf message, with its number and type; values of enums."""
    waiting = list(wire_pb2.DESCRIPTOR.message_types_by_name.values())
    enums = list(wire_pb2.DESCRIPTOR.enum_types_by_name.values())
    for message in waiting:
        waiting += message.nested_types
        enums += message.enum_types
        for field in message.fields:
            many = "repeated " if field.is_repeated else ""
            yield f"field {message.full_name}.{field.name} = {field.number} {many}{field.type}"
    for enum in enums:
        for value in enum.values:
            yield f"value {enum.full_name}.{value.name} = {value.number}"


def routes() -> Iterator[str]:
    """Every documented route: method and address."""
    for address, methods in document()["paths"].items():
        for method in methods:
            if method in {"get", "post", "put", "patch", "delete", "head"}:
                yield f"route {method.upper()} {address}"


def test_what_releases_have_had_on_the_wire_stays() -> None:
    now = {*fields(), *routes()}
    if os.environ.get("TINSMITH_WRITE_DOCS"):
        LIST.write_text("".join(f"{line}\n" for line in sorted(now)))
    had = set(LIST.read_text().splitlines())
    assert len(had) > 100
    assert had - now == set()


def test_no_number_has_two_fields() -> None:
    numbers = [re.sub(r"\.\w+ = (\d+).*", r" \1", line) for line in fields() if line[0] == "f"]
    assert len(numbers) == len(set(numbers))


def test_one_version_everywhere() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert project["version"] == tinsmith.__version__
    log = (REPOSITORY / "docs" / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## (\S+)", log, re.MULTILINE)
    assert headings[:2] == ["Unreleased", project["version"]]
