"""The public client's own command line against a whole platform."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from tests.conftest import LiveStack
from tests.contract.clients import PUBLIC, Client
from tests.contract.conftest import BASE_MODEL

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def public(live_stack: LiveStack) -> Iterator[Client]:
    """The newest public client."""
    running = Client(PUBLIC, live_stack.url, live_stack.api_key)
    yield running
    running.close()


@pytest.fixture(scope="module")
def made(public: Client) -> dict[str, str]:
    """A run with one checkpoint of each kind."""
    return public.run("rest.make", base_model=BASE_MODEL, name="cli")


@pytest.fixture
def cli(live_stack: LiveStack, tmp_path: Path) -> Run:
    """Runs `tinker --format json …` in an empty folder; gives what it prints."""

    def run(*words: str, ok: bool = True) -> Any:
        done = subprocess.run(
            [PUBLIC.python(), "-m", "tinker.cli", "--format", "json", *words],
            cwd=tmp_path,
            env={
                "PATH": os.defpath,
                "HOME": str(tmp_path),
                "TINKER_BASE_URL": live_stack.url,
                "TINKER_API_KEY": live_stack.api_key,
            },
            capture_output=True,
            text=True,
            check=False,
        )
        said: Any = done.stdout + done.stderr
        with suppress(json.JSONDecodeError):
            said = json.loads(done.stdout)
        # its threads sometimes abort the interpreter at its end, when everything is said and done
        whole = not isinstance(said, str) and not done.stderr
        aborted = done.returncode == -signal.SIGABRT and whole
        assert (done.returncode == 0 or aborted) is ok, done.stdout + done.stderr
        return said

    return run


def test_runs(cli: Run, made: dict[str, str]) -> None:
    assert made["run"] in json.dumps(cli("run", "list", "--limit", "20"))
    assert cli("run", "info", made["run"])["training_run_id"] == made["run"]


def test_checkpoints(cli: Run, made: dict[str, str]) -> None:
    listed = cli("checkpoint", "list", "--run-id", made["run"])["checkpoints"]
    paths = {made["training"], made["sampler"], made["external"]}
    assert {item["tinker_path"] for item in listed} == paths
    assert len(cli("checkpoint", "list", "--limit", "2")["checkpoints"]) == 2
    path = made["sampler"]
    cli("checkpoint", "publish", path)
    assert cli("checkpoint", "info", path)["public"] is True
    cli("checkpoint", "unpublish", path)
    cli("checkpoint", "set-ttl", path, "--ttl", "7200")
    shown = cli("checkpoint", "info", path)
    assert shown["public"] is False
    assert shown["expires_at"] is not None
    cli("checkpoint", "set-ttl", path, "--remove")
    assert cli("checkpoint", "info", path)["expires_at"] is None
    assert "3600" in cli("checkpoint", "set-ttl", path, "--ttl", "5", ok=False)


@pytest.mark.parametrize("kind", ["training", "external"])
def test_downloading(cli: Run, made: dict[str, str], tmp_path: Path, kind: str) -> None:
    cli("checkpoint", "download", made[kind])
    (config,) = tmp_path.rglob("adapter_config.json")
    assert json.loads(config.read_text())["r"] == 8
    assert (config.parent / "adapter_model.safetensors").stat().st_size > 1000


def test_downloading_what_is_encrypted(cli: Run, public: Client, tmp_path: Path) -> None:
    identity = pyrage.x25519.Identity.generate()
    keys = [str(identity.to_public())]
    saved = public.run("encrypted.saved", base_model=BASE_MODEL, recipients=keys)
    cli("checkpoint", "download", saved["encrypted"]["path"])
    files = {path.name: path for path in tmp_path.rglob("adapter_*")}
    assert set(files) == {"adapter_config.json.age", "adapter_model.safetensors.age"}
    config = pyrage.decrypt(files["adapter_config.json.age"].read_bytes(), [identity])
    assert json.loads(config)["r"] == 8


def test_deleting(cli: Run, public: Client) -> None:
    doomed = public.run("rest.make", base_model=BASE_MODEL, name="doomed")
    told = cli("checkpoint", "delete", "-y", doomed["training"])
    assert told == {"deleted_count": 1, "failed": []}
    assert cli("checkpoint", "delete", "-y", "--run-id", doomed["run"])["deleted_count"] == 2
    assert cli("checkpoint", "list", "--run-id", doomed["run"])["checkpoints"] == []


def test_exporting_a_trace(cli: Run, made: dict[str, str], tmp_path: Path) -> None:
    cli("session", "export-trace", made["session"])
    trace = json.loads((tmp_path / f"{made['session']}.pftrace").read_text())
    assert {"forward_backward", "optim_step"} <= {item["name"] for item in trace["traceEvents"]}


def test_billing(cli: Run, made: dict[str, str]) -> None:
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    window = [(hour + timedelta(hours=step)).isoformat() for step in (-1, 1)]
    used = cli("billing", "usage", *window)
    assert made["session"] in used["sessions"]
    (*_, stored) = [
        item["event_info"]
        for item in used["data"]
        if item["event_info"]["type"] == "storage"
        and (item["project_id"], item["base_model"]) == ("default", BASE_MODEL)
    ]
    assert stored["gigabyte_hours"] > 0
    assert stored["free"] is False
    assert len(cli("billing", "usage", *window, "--csv", "-").splitlines()) == 1 + len(used["data"])
    (now,) = cli("billing", "checkpoint-storage", "--project-id", "default")["data"]
    assert now["project_id"] == "default"
    assert now["checkpoint_count"] >= 3
    assert now["size_bytes"] == pytest.approx(now["size_gigabytes"] * 1e9)
    assert cli("billing", "checkpoint-storage", "--project-id", "nobody's")["data"] == []


def test_who_am_i(cli: Run) -> None:
    assert cli("auth", "whoami")["user_urn"].startswith("tinsmith:team:")
    assert "accessible: yes" in cli("auth", "status")
    assert BASE_MODEL in json.dumps(cli("model", "list"))
