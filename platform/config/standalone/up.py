"""The commands `manage.py up` and `manage.py demo`: what they start, print and write."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from config.env import REPOSITORY, BadEnvironment
from config.standalone.options import BadOption
from config.standalone.running import WATCH_S, Platform, StartError
from core.embedded import DataFolder, EmbeddedError
from core.embedded.folder import write_private
from core.embedded.processes import stop

if TYPE_CHECKING:
    from config.standalone.access import Access

DEMO_MODULE = "tinsmith_recipes.pig_latin.demo"


def run(command: str, options: argparse.Namespace) -> int:
    """Serve as `up` or `demo` with the options that `options.read` gave; returns the status."""
    begun = time.monotonic()
    ready_file: Path | None = options.ready_file
    try:
        folder = DataFolder(options.data_dir)
    except EmbeddedError as error:
        sys.exit(f"manage.py: {error}")
    platform = Platform(folder, options.host, options.port, dict(options.model))
    signals = _Signals(platform)
    try:
        platform.open()
        if ready_file:
            # ours now: an old one would speak of a server that is gone
            ready_file.unlink(missing_ok=True)
        os.umask(0o077)
        access = platform.start()
        signals.starting = False
        if ready_file:
            write_private(ready_file, json.dumps(_ready(platform, access), indent=2) + "\n")
        _announce(platform, access, time.monotonic() - begun)
        if command == "demo":
            status = _run_demo(platform, access)
            if options.once or platform.ended.is_set():
                return status
            if status == 0:
                show_run(platform, access)
            platform.say("The platform goes on running. Ctrl-C stops it.")
        platform.watch()
    except KeyboardInterrupt:
        return 130
    except (BadOption, BadEnvironment, StartError, EmbeddedError, OSError) as error:
        platform.say(f"manage.py: {error}")
        return 1
    finally:
        signals.starting = False
        platform.stop()
    return 0


class _Signals:
    """Ctrl-C, SIGTERM and a closed terminal end the platform; while it starts they break it off."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.starting = True
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._note)

    def _note(self, number: int, frame: object) -> None:
        self.platform.ended.set()
        if self.starting:
            self.starting = False
            raise KeyboardInterrupt


def _ready(platform: Platform, access: Access) -> dict[str, str | None]:
    """What the ready file says. No password: somebody changed it."""
    return {
        "url": platform.url,
        "api_key": access.api_key,
        "admin_username": access.admin_username,
        "admin_password": access.admin_password,
    }


def _announce(platform: Platform, access: Access, seconds: float) -> None:
    password = access.admin_password or "(changed since the first start)"
    platform.say(
        f"""
  Tinsmith answers at {platform.url}   (started in {seconds:.0f} s)

    Dashboard {platform.url}/sign-in   {access.admin_username} / {password}
    API key   {access.api_key}
    Admin     {platform.url}/admin/   the same name and password
    Data      {platform.folder.path}   (logs in {platform.folder.logs.name}/)

  Ctrl-C stops it.
"""
    )


def _run_demo(platform: Platform, access: Access) -> int:
    """The demo as a client of the platform, in a process of its own; returns its status."""
    env = {
        **os.environ,
        "TINSMITH_BASE_URL": platform.url,
        "TINSMITH_API_KEY": access.api_key,
    }
    process = subprocess.Popen(
        [sys.executable, "-m", DEMO_MODULE], cwd=REPOSITORY, env=env, start_new_session=True
    )
    try:
        while process.poll() is None and not platform.ended.wait(WATCH_S):
            platform.supervisor.check()
        return 130 if process.poll() is None else process.returncode
    finally:
        if process.poll() is None:
            platform.say("Ending the demo …")
        stop(process, ((signal.SIGTERM, 2.0),))


def show_run(platform: Platform, access: Access) -> None:
    """Where the newest run is to be seen: a link that signs in whoever opens it first."""
    from django.db import connections

    from accounts import one_time_links
    from accounts.models import User
    from runs.models import TrainingRun

    run = TrainingRun.objects.order_by("-created_at").first()
    if run is not None:
        user = User.objects.get(username=access.admin_username)
        link = f"{platform.url}/sign-in/once/{one_time_links.make(user)}?next=/runs/{run.pk}"
        platform.say(
            f"\nIts curve and its answers, signed in (once, within an hour):\n\n    {link}\n"
        )
    connections.close_all()
