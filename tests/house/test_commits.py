"""What `pre-commit` does before a commit: CI's checks, from .venv, without network."""

from __future__ import annotations

import subprocess
import sys

import yaml

from tests.conftest import REPOSITORY


def test_hooks_are_cis_checks_from_the_virtual_environment() -> None:
    config = yaml.safe_load((REPOSITORY / ".pre-commit-config.yaml").read_text())
    (own,) = config["repos"]
    assert own["repo"] == "local", "another repository would have to be fetched"
    commands = [hook["entry"].split() for hook in own["hooks"]]
    assert [command[:2] for command in commands] == [
        [".venv/bin/ruff", "check"],
        [".venv/bin/ruff", "format"],
        [".venv/bin/mypy"],
    ]
    for hook, command in zip(own["hooks"], commands, strict=True):
        assert hook["language"] == "system"
        # named files are checked whatever the configuration leaves out, unless ruff is told so
        assert "--force-exclude" in command or "ruff" not in command[0]


def test_the_configuration_is_valid() -> None:
    command = [sys.executable, "-m", "pre_commit", "validate-config", ".pre-commit-config.yaml"]
    subprocess.run(command, cwd=REPOSITORY, check=True)
