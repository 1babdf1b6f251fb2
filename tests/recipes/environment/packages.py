"""The packages that `environment` adapts, as users install them: by the recipes' extra `envs`.

They are heavy, and one of them is compiled. So they live in a Python of their own, kept between
test runs, in which our tests of the adapters run too.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.contract.clients import pip_install, user_environment, virtual_environment

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
OUTSIDE = HERE / "outside"
EXTRAS = ("reasoning-gym", "textarena", "verifiers")
WITH = ("pytest", "pytest-asyncio")

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None, reason="reasoning-gym brings pycosat, which has to be compiled"
)


def python() -> str:
    """The interpreter that has our recipes with the extra; installs them when there is none yet."""
    recipes = REPOSITORY / "recipes"
    project = tomllib.loads((recipes / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [str(REPOSITORY), *project["dependencies"], *(str(extras[one]) for one in EXTRAS)]
    digest = hashlib.sha256(" ".join(wanted).encode()).hexdigest()[:8]

    def fill(folder: Path) -> None:
        ours = ["-e", f"{REPOSITORY / 'sdk'}[tokenizers]", "-e", f"{recipes}[envs]"]
        pip_install(folder, *ours, *WITH)

    return virtual_environment(f"environments-{digest}", fill)


def run(
    *arguments: str, folder: Path, url: str = "http://127.0.0.1:9", key: str = "tml-0"
) -> subprocess.CompletedProcess[str]:
    """A program beside the packages, which finds the tasksets that are among our tests."""
    return subprocess.run(
        [python(), *arguments],
        cwd=folder,
        env=user_environment(url, key) | {"PYTHONPATH": str(OUTSIDE)},
        capture_output=True,
        text=True,
    )
