"""Writes the lock files beside it: what `manage.py` and compose.yaml install, exactly, with hashes.

    python3 platform/config/requirements/renew.py             after a change of dependencies
    python3 platform/config/requirements/renew.py --upgrade   everything to its newest

`base.txt` holds what the platform, the SDK and the recipes need, and what builds them; `dev.txt`
and `cuda.txt` what that extra adds, resolved for all Pythons and systems at once. What PyTorch
alone brings along (its own wheel, NVIDIA's libraries) is left out: which build is right depends on
the machine, and each names the rest of them exactly.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
REPOSITORY = FOLDER.parents[2]
PROJECTS = [REPOSITORY / folder / "pyproject.toml" for folder in (".", "sdk", "recipes")]
BUILD = "hatchling>=1.27\neditables\n"
EXTRAS = {"base": None, "dev": "dev", "cuda": "cuda"}
TORCHS_OWN = re.compile(r"torch|triton|(nvidia|cuda)-.+")
HEAD = """\
# Made by platform/config/requirements/renew.py from the pyproject files; do not edit.
# PyTorch is not in it: manage.py installs the build that suits the machine.
"""


def main() -> None:
    """Resolve all three files with uv, which is fetched into a temporary folder."""
    upgrade = sys.argv[1:] == ["--upgrade"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        venv.create(folder / "venv", with_pip=True)
        python = folder / "venv" / "bin" / "python"
        subprocess.run([python, "-m", "pip", "install", "--quiet", "uv"], check=True)
        base = folder / "base.txt"
        (build := folder / "build.in").write_text(BUILD)
        for file, extra in EXTRAS.items():
            output, kept = folder / f"{file}.txt", FOLDER / f"{file}.txt"
            if kept.exists() and not upgrade:
                # uv keeps what is in it where it still can
                output.write_text((base.read_text() if extra else "") + kept.read_text())
            command: list[str | Path] = [
                python,
                "-m",
                "uv",
                "pip",
                "compile",
                "--quiet",
                *PROJECTS,
                build,
            ]
            command += ["--universal", "--python-version", "3.11", "--generate-hashes"]
            command += ["--no-header", "--no-annotate", "--output-file", output]
            command += ["--no-emit-package", "tinsmith"]
            command += ["--extra", extra, "--constraint", base] if extra else []
            subprocess.run(command, check=True, cwd=REPOSITORY)
        in_base: list[str] = []
        for file in EXTRAS:
            found = [one for one in packages(folder / f"{file}.txt") if one not in in_base]
            in_base = in_base or found
            (FOLDER / f"{file}.txt").write_text(HEAD + "".join(found))


def packages(file: Path) -> Iterator[str]:
    """A lock file's lines, package by package, without those that come with PyTorch."""
    for lines in re.findall(r"^[^\s#].*\n(?:[ \t].*\n)*", file.read_text(), re.MULTILINE):
        if not TORCHS_OWN.fullmatch(lines.partition("==")[0]):
            yield lines


if __name__ == "__main__":
    main()
