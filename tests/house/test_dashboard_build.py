"""The dashboard is built once for every state of its sources, and its lack is told in words."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from config import dashboard
from config.dashboard import BuildError
from tests.conftest import REPOSITORY

FRONTEND = REPOSITORY / "frontend"


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    """A copy of what a build is made of."""
    for name in dashboard.MADE_FROM:
        path = FRONTEND / name
        (shutil.copytree if path.is_dir() else shutil.copy)(path, tmp_path / name)
    return tmp_path


def test_every_change_of_what_it_is_made_of_asks_for_another_build(sources: Path) -> None:
    seen = {dashboard.stamp_of(sources)}
    for name in ("package-lock.json", "vite.config.ts", "src/app.tsx", "src/design/tokens.css"):
        with (sources / name).open("a") as file:
            file.write(" ")
        seen.add(dashboard.stamp_of(sources))
    (sources / "src" / "new.ts").touch()
    seen.add(dashboard.stamp_of(sources))
    assert len(seen) == 6


def test_a_change_of_a_test_does_not(sources: Path) -> None:
    before = dashboard.stamp_of(sources)
    (sources / "src" / "app.test.ts").write_text("changed")
    assert dashboard.stamp_of(sources) == before


def test_without_node_the_lack_is_told(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(BuildError, match=rf"{re.escape(dashboard.NEEDED)}, and none is installed"):
        dashboard.ensure(sources, print)


def test_what_is_built_needs_no_node(sources: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (sources / "dist").mkdir()
    (sources / "dist" / dashboard.STAMP).write_text(dashboard.stamp_of(sources))
    dashboard.ensure(sources, print)


def test_a_wheel_has_no_sources_and_needs_no_build(tmp_path: Path) -> None:
    dashboard.ensure(tmp_path, print)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not dashboard.can_build(), reason="no Node.js here")
def test_what_npm_says_of_its_failure_is_told(sources: Path) -> None:
    (sources / "package-lock.json").write_text("{}")
    with pytest.raises(BuildError, match="npm ci"):
        dashboard.ensure(sources, lambda words: None)
    assert not (sources / "dist").exists()
