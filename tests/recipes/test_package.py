"""The recipes as a newcomer installs them: the SDK, what is declared, and nothing of the server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import venv
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import REPOSITORY
from tinsmith_recipes.training.command import installed

ABSENT = ("torch", "django", "celery", "config", "gpu_workers", "datasets", "math_verify", "wandb")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with both packages, as wheels, and what they need."""
    folder = tmp_path_factory.mktemp("newcomer")
    venv.create(folder / "venv", with_pip=False)
    (site,) = (folder / "venv").glob("lib/python*/site-packages")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    packages = [str(REPOSITORY / name) for name in ("sdk", "recipes")]
    subprocess.run(
        [*pip, "--no-deps", "--no-build-isolation", "--target", str(site), *packages], check=True
    )
    for found in needed("tinsmith-recipes"):
        for name in parts(found):
            if not (site / name).exists():
                (site / name).symlink_to(Path(str(found.locate_file(name))))
    return folder / "venv" / "bin" / "python"


def needed(name: str) -> list[Distribution]:
    """The distributions that one needs, and those that these need, without itself and ours."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement(name)]
    done: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        if str(wanted) in done:
            continue
        done.add(str(wanted))
        try:
            here = distribution(wanted.name)
        except PackageNotFoundError:
            continue  # for another machine, or optional to somebody
        if not re.fullmatch(r"tinsmith(-recipes)?", wanted.name):
            found[wanted.name] = here
        for line in here.requires or ():
            inner = Requirement(line)
            extras = wanted.extras or {""}
            if not inner.marker or any(inner.marker.evaluate({"extra": one}) for one in extras):
                waiting.append(inner)
    return list(found.values())


def parts(found: Distribution) -> set[str]:
    """What a distribution puts into site-packages: folders and files at its top."""
    return {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "")}


def said(python: Path, folder: Path, *words: str, ok: int = 0) -> str:
    environment = {"PATH": os.defpath, "HOME": str(folder)}
    done = subprocess.run(
        [python, "-I", *words], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == ok, done.stderr
    return done.stdout if ok == 0 else done.stderr


def test_nothing_of_the_server_is_there(python: Path, tmp_path: Path) -> None:
    program = (
        "from importlib.util import find_spec\n"
        f"print([name for name in {ABSENT!r} if find_spec(name)])"
    )
    assert said(python, tmp_path, "-c", program) == "[]\n"


def test_every_recipe_is_listed_shown_and_imports_no_torch(python: Path, tmp_path: Path) -> None:
    listed = said(python, tmp_path, "-m", "tinsmith.cli", "recipes", "list", "--json")
    assert [one["name"] for one in json.loads(listed)] == list(installed())
    shown = said(python, tmp_path, "-m", "tinsmith.cli", "recipes", "show", "pig_latin")
    assert "ends with before at most 0.1" in shown


def test_files_that_recipes_come_with_are_in_the_wheel(python: Path, tmp_path: Path) -> None:
    program = (
        "from tinsmith_recipes.chat_sl.data import load\n"
        "print(len(load(None, seed=0, held_out=5).held_out))"
    )
    assert said(python, tmp_path, "-c", program) == "5\n"


def test_what_needs_an_extra_says_which(python: Path, tmp_path: Path) -> None:
    words = ["train", "HuggingFaceH4/no_robots", "--model", "m", "--base-url", "http://127.0.0.1:9"]
    told = said(python, tmp_path, "-m", "tinsmith.cli", *words, "--api-key", "tml-a", ok=1)
    assert "pip install 'tinsmith[hub]'" in told


def test_without_the_recipes_the_command_says_how_to_get_them(python: Path, tmp_path: Path) -> None:
    program = (
        "import importlib.metadata, sys\n"
        "importlib.metadata.entry_points = lambda **wanted: []\n"
        "from tinsmith.cli.main import main\n"
        "sys.exit(main(['train', 'chats.jsonl', '--model', 'm']))"
    )
    told = said(python, tmp_path, "-c", program, ok=1)
    assert "the recipes are not installed here: pip install tinsmith-recipes" in told
