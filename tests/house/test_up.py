"""`manage.py up` as an operator meets it: ready file, second start, deaths, refusals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from catalog.sources import FAMILIES
from tests.conftest import (
    REPOSITORY,
    LiveStack,
    Services,
    make_folder,
    remove_folder,
    start_up,
    stop_up,
    wait_ready,
)
from tests.support.waiting import eventually

pytestmark = pytest.mark.live


@pytest.fixture
def folder() -> Iterator[Path]:
    """A data folder."""
    path = make_folder()
    yield path
    remove_folder(path)


def children_of(stack: LiveStack) -> dict[str, psutil.Process]:
    """The launcher's children by what they run."""
    names = {"uvicorn": "web", "celery": "worker", "postgres": "postgres", "valkey": "valkey"}
    found = {}
    for process in psutil.Process(stack.process.pid).children():
        command = " ".join(process.cmdline())
        found[next(name for text, name in names.items() if text in command)] = process
    return found


def wait_ready_anew(process: subprocess.Popen[bytes], folder: Path) -> LiveStack:
    """Wait until the ready file of an earlier start is gone and a new one there."""
    eventually(lambda: not (folder / "ready.json").exists(), within_s=20)
    return wait_ready(process, folder)


def answers(stack: LiveStack, path: str = "/healthz") -> bool:
    """Whether the web process answers."""
    try:
        return httpx.get(stack.url + path).status_code == 200
    except httpx.TransportError:
        return False


def models_offered(stack: LiveStack) -> list[str]:
    """What the API offers to the stack's key."""
    answer = httpx.get(
        f"{stack.url}/api/v1/get_server_capabilities", headers={"X-API-Key": stack.api_key}
    )
    assert answer.status_code == 200, answer.text
    return sorted(model["model_name"] for model in answer.json()["supported_models"])


def log_in(stack: LiveStack) -> httpx.Response:
    """The admin's first page, after logging in with the ready file's password."""
    with httpx.Client(base_url=stack.url, follow_redirects=True) as browser:
        page = browser.get("/admin/login/")
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {
            "csrfmiddlewaretoken": token[1],
            "username": stack.admin_username,
            "password": stack.admin_password,
            "next": "/admin/",
        }
        return browser.post("/admin/login/", data=form, headers={"Referer": stack.url})


def test_everything_answers_once_the_ready_file_is_there(live_stack: LiveStack) -> None:
    ready = live_stack.folder / "ready.json"
    assert stat.S_IMODE(ready.stat().st_mode) == 0o600
    assert set(json.loads(ready.read_text())) == {
        "url",
        "api_key",
        "admin_username",
        "admin_password",
    }
    assert set(children_of(live_stack)) == {"web", "worker", "postgres", "valkey"}
    assert httpx.get(f"{live_stack.url}/healthz").json() == {"status": "ok"}
    # other tests of the session may have added models to this stack
    assert {"tinsmith/nano-llama3", "tinsmith/nano-qwen3"} <= set(models_offered(live_stack))
    front = httpx.get(live_stack.url).text
    assert f"{live_stack.url}/api/v1" in front
    assert "/admin/" in front
    inside = log_in(live_stack)
    assert "API keys" in inside.text
    style = re.search(r'href="(/static/admin/css/base\.css)"', inside.text)
    assert style
    assert answers(live_stack, style[1])


def test_it_listens_to_this_machine_alone_and_to_nothing_else(live_stack: LiveStack) -> None:
    every = [psutil.Process(live_stack.process.pid), *children_of(live_stack).values()]
    listening = {
        (connection.laddr.ip, connection.laddr.port)
        for process in every
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", int(live_stack.url.rsplit(":", 1)[1]))}
    foreign = httpx.get(live_stack.url, headers={"Host": "evil.example.org"})
    assert foreign.status_code == 400, "DNS rebinding"


def test_a_crashed_web_process_comes_back(live_stack: LiveStack) -> None:
    before = children_of(live_stack)["web"]
    before.kill()
    eventually(lambda: not before.is_running(), within_s=60)
    eventually(lambda: answers(live_stack), within_s=60)
    assert children_of(live_stack)["web"].pid != before.pid
    assert models_offered(live_stack)


def test_the_folder_survives_every_death_and_keeps_its_key(folder: Path) -> None:
    process = start_up(folder)
    try:
        first = wait_ready(process, folder)
        every = list(children_of(first).values())
        process.kill()
        process.wait()
        # the kernel ends the children of a launcher that was killed; be sure that all are dead
        eventually(
            lambda: (
                not any(
                    child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in every
                )
            ),
            within_s=20,
        )
        process = start_up(folder)
        second = wait_ready_anew(process, folder)
        assert (second.api_key, second.admin_password) == (first.api_key, first.admin_password)
        assert models_offered(second)
        process.send_signal(signal.SIGSTOP)  # it must not start anything again
        for child in children_of(second).values():
            child.kill()
        process.kill()
        process.wait()
        process = start_up(folder)
        third = wait_ready_anew(process, folder)
        assert third.api_key == first.api_key
        assert "API keys" in log_in(third).text
        begun = time.monotonic()
        assert stop_up(process) == 0
        assert time.monotonic() - begun < 15
        last = (folder / "up.log").read_text().splitlines()[-2:]
        assert last == [
            "Stopping worker, web, valkey, postgres …",
            f"Stopped. {folder} is kept for the next start.",
        ]
    finally:
        stop_up(process)


def refused(*arguments: str) -> str:
    """What `up` says when it does not start; it must not have started anything."""
    command = [sys.executable, str(REPOSITORY / "manage.py"), "up", *arguments]
    env = {**os.environ, "TINSMITH_NO_VENV": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60, check=False)
    assert done.returncode not in (0, None)
    assert "Traceback" not in done.stderr
    return done.stderr


def test_unknown_options_are_refused(folder: Path) -> None:
    data = folder / "data"
    assert "--bogus" in refused("--data-dir", str(data), "--bogus")
    assert "--dat" in refused("--dat", str(data)), "no abbreviations"
    assert "'x' is not a port" in refused("--port", "x")
    assert "NAME=PATH_OR_HUB_ID" in refused("--model", "nameless")
    assert not data.exists()


def test_ctrl_c_while_it_starts_leaves_nothing_running(folder: Path) -> None:
    process = start_up(folder)
    eventually(lambda: list(folder.rglob("postmaster.pid")), within_s=60)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    eventually(lambda: not list(folder.rglob("postmaster.pid")))
    assert not (folder / "ready.json").exists()
    said = (folder / "up.log").read_text()
    assert said.index("Stopping ") < said.index("Stopped.")
    assert not any(str(folder) in " ".join(_command(p)) for p in psutil.process_iter())


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def test_named_servers_replace_the_embedded_ones(folder: Path, services: Services) -> None:
    process = start_up(folder, DATABASE_URL=services.database_url, VALKEY_URL=services.valkey_url)
    try:
        stack = wait_ready(process, folder)
        assert set(children_of(stack)) == {"web", "worker"}
        assert models_offered(stack)
        assert not (folder / "postgres" / "data").exists()
    finally:
        assert stop_up(process) == 0


def test_a_taken_port_is_refused_before_anything_starts(folder: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = refused("--data-dir", str(folder / "data"), "--port", port)
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert not (folder / "data").exists()


def test_a_folder_in_use_is_refused_and_left_alone(live_stack: LiveStack) -> None:
    said = refused("--data-dir", str(live_stack.folder), "--port", "0")
    assert f"in use by another launcher (process {live_stack.process.pid})" in said
    assert models_offered(live_stack)


def test_a_model_that_cannot_be_served_is_refused(folder: Path) -> None:
    (folder / "odd").mkdir()
    (folder / "odd" / "config.json").write_text('{"model_type": "gpt2"}')
    (folder / "odd" / "model.safetensors").touch()
    data = str(folder / "data")
    said = refused("--data-dir", data, "--port", "0", "--model", f"odd={folder / 'odd'}")
    assert f"model_type 'gpt2'; supported are {', '.join(FAMILIES)}" in said
    assert not (folder / "data").exists(), "before anything is started"


def test_it_starts_whatever_host_names_it_answers_to(folder: Path) -> None:
    page = "http://localhost:3000"
    process = start_up(
        folder, TINSMITH_ALLOWED_HOSTS="tinsmith.example.org", TINSMITH_CORS_ORIGINS=page
    )
    try:
        stack = wait_ready(process, folder)
        assert httpx.get(stack.url).status_code == 400
        named = {"Host": "tinsmith.example.org"}
        assert httpx.get(stack.url, headers=named).status_code == 200
        for host in ("tinsmith.example.org", "127.0.0.1", "anything"):
            assert httpx.get(f"{stack.url}/healthz", headers={"Host": host}).status_code == 200
        services = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
        _, python, *arguments = services["web"]["healthcheck"]["test"]
        assert python == "python"
        check = [part.replace("http://127.0.0.1:8000", stack.url) for part in arguments]
        assert subprocess.run([sys.executable, *check], check=False).returncode == 0
        asks = {"Origin": page, "Access-Control-Request-Method": "POST"}
        answer = httpx.options(f"{stack.url}/v1/chat/completions", headers=asks)
        assert answer.headers["Access-Control-Allow-Origin"] == page
    finally:
        stop_up(process)
