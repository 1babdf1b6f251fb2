"""Has the dashboard built before it is packed into a wheel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

FOLDER = Path(__file__).resolve().parent


class DashboardHook(BuildHookInterface):
    """A wheel without its dashboard would serve none; an editable installation has the sources."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build it, unless it is built."""
        if version == "editable":
            return
        sys.path.insert(0, str(FOLDER.parent / "platform"))
        from config import dashboard

        dashboard.ensure(FOLDER, lambda words: print(words, file=sys.stderr))
