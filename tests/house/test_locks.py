"""The lock files hold what the pyproject files ask for, exactly, with hashes and nothing else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.conftest import REPOSITORY

LOCKS = REPOSITORY / "platform" / "config" / "requirements"
RENEW = "run `python3 platform/config/requirements/renew.py`"
# Which build of it is right depends on the machine: manage.py installs it by its version alone.
OUTSIDE = {"torch"}
ENTRY = re.compile(r"(?P<pin>[^\s#].*?) ?(?P<hashes>(\\\n +--hash=sha256:[0-9a-f]{64} ?)+)\n")


def pinned(*names: str) -> dict[str, list[Version]]:
    """The versions of each package in lock files; several where systems or Pythons differ."""
    found: dict[str, list[Version]] = {}
    for name in names:
        for entry in ENTRY.finditer((LOCKS / name).read_text()):
            requirement = Requirement(entry["pin"])
            (version,) = requirement.specifier
            assert version.operator == "==", entry["pin"]
            key = canonicalize_name(requirement.name)
            found.setdefault(key, []).append(Version(version.version))
    return found


def asked(*extras: str) -> list[Requirement]:
    """What the two projects ask for, with extras of the platform's."""
    platform = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
    sdk = tomllib.loads((REPOSITORY / "sdk" / "pyproject.toml").read_text())
    texts = [*platform["project"]["dependencies"], *sdk["project"]["dependencies"]]
    for project in (platform, sdk):
        texts += project["build-system"]["requires"]
    for extra in extras:
        texts += platform["project"]["optional-dependencies"][extra]
    return [Requirement(text) for text in texts]


@pytest.mark.parametrize(
    ("files", "extras"),
    [(["base.txt"], []), (["base.txt", "dev.txt"], ["dev"]), (["base.txt", "cuda.txt"], ["cuda"])],
    ids=["base", "dev", "cuda"],
)
def test_every_dependency_is_locked_within_its_range(files: list[str], extras: list[str]) -> None:
    versions = pinned(*files)
    for requirement in asked(*extras):
        name = canonicalize_name(requirement.name)
        if name in OUTSIDE:
            assert name not in versions
            continue
        assert name in versions, f"{name} is not locked: {RENEW}"
        for version in versions[name]:
            assert version in requirement.specifier, f"{name} {version} is outside: {RENEW}"


@pytest.mark.parametrize("file", sorted(LOCKS.glob("*.txt")), ids=lambda file: file.name)
def test_a_lock_file_holds_pins_with_hashes_alone(file: Path) -> None:
    """No address of a registry, no option, no package without a hash."""
    lines = "".join(
        line for line in file.read_text().splitlines(keepends=True) if not line.startswith("#")
    )
    assert ENTRY.search(lines)
    assert ENTRY.sub("", lines) == ""


def test_every_extra_has_its_lock_file() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    assert {file.stem for file in LOCKS.glob("*.txt")} == {
        "base",
        *project["optional-dependencies"],
    }
