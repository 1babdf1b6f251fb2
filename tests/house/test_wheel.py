"""An installed wheel serves the documentation, the dashboard and nothing of a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from config import dashboard
from tests.conftest import REPOSITORY

ASK = """
import re
import django
django.setup()
import reference
from django.conf import settings
from django.test import Client
from reference.guide.contents import contents
print(reference.__file__, settings.DOCS_DIR)
paths = ["/docs/", "/docs/search.json", "/llms.txt", "/llms-full.txt", "/favicon.svg"]
paths += [f"/docs/{slug}{kind}" for slug in contents().by_slug for kind in ("", ".md")]
paths += ["/static/reference/docs.css", "/static/reference/docs.js", "/sign-in"]
paths += re.findall('"(/static/dashboard/[^"]+)"', Client().get("/sign-in").content.decode())
assert len([path for path in paths if "/static/dashboard/" in path]) >= 2, paths
print({path: Client().get(path).status_code for path in paths if "." in path or path})
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel's files, as pip would put them."""
    if not (dashboard.can_build() or dashboard.is_built(REPOSITORY / "frontend")):
        pytest.skip(f"a wheel has the dashboard inside, whose build needs {dashboard.NEEDED}")
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=REPOSITORY, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_a_wheel_serves_the_documentation(installed: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ASK],
        cwd=tmp_path,
        env={
            "PATH": os.defpath,
            "PYTHONPATH": str(installed),
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "TINSMITH_DATA_DIR": str(tmp_path / "data"),
            "TINSMITH_ALLOWED_HOSTS": "testserver",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    places, answers = done.stdout.splitlines()
    assert all(place.startswith(str(installed)) for place in places.split())
    assert set(eval(answers).values()) == {200}


def test_a_wheel_has_the_dashboards_build_and_not_its_sources(installed: Path) -> None:
    shipped = installed / "config" / "shipped" / "frontend"
    assert {path.name for path in shipped.iterdir()} == {
        "admin",
        "dist",
        "error.html",
        "favicon.svg",
        "icon.html",
        "index.html",
        "page.html",
    }
    assert list((shipped / "dist" / "assets").glob("*.js.gz"))
