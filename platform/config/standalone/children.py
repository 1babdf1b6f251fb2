"""The web process and the worker as children: their commands, and whether they answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

from config.env import REPOSITORY
from core.embedded import Child, DataFolder, PostgresServer, ValkeyServer
from core.embedded.processes import spawn

POOL = "default"
PROTOCOL = "core.protocol:BoundedProtocol"
SOCKETS = "core.sockets:BoundedSocket"
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # past $http_proxy
_WEB_STOP = ((signal.SIGTERM, 4.0),)
# Celery: SIGTERM lets tasks end, SIGQUIT does not
_WORKER_STOP = ((signal.SIGTERM, 6.0), (signal.SIGQUIT, 2.0))


def environment(
    folder: DataFolder, host: str, database_url: str, valkey_url: str
) -> dict[str, str]:
    """The variables that our processes share."""
    values = {
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "TINSMITH_DATA_DIR": str(folder.path),
        "TINSMITH_POOL": POOL,
        "DATABASE_URL": database_url,
        "VALKEY_URL": valkey_url,
        "PYTHONPATH": os.pathsep.join([str(REPOSITORY / "platform"), str(REPOSITORY)]),
        "PYTHONUNBUFFERED": "1",
    }
    if "TINSMITH_SECRET_KEY" not in os.environ:
        values["TINSMITH_SECRET_KEY"] = folder.secret_key()
    if "TINSMITH_ALLOWED_HOSTS" not in os.environ and not is_local(host):
        # asked to be reached from elsewhere: under which names is the operator's affair
        values["TINSMITH_ALLOWED_HOSTS"] = "*"
    return values


def is_local(host: str) -> bool:
    """Whether only this machine can reach the address."""
    return host == "localhost" or host.startswith("127.") or host == "::1"


def url_of(host: str, port: int) -> str:
    """The address under which this machine reaches the web process."""
    name = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{name}:{port}"


def server(name: str, server: PostgresServer | ValkeyServer) -> Child:
    """One of the embedded servers."""
    return Child(name, server.start, server.stop_steps, server.log)


def web(folder: DataFolder, host: str, port: int, env: dict[str, str]) -> Child:
    """uvicorn with the ASGI application."""
    command = [sys.executable, "-m", "uvicorn", "config.asgi:application"]
    command += ["--app-dir", str(REPOSITORY / "platform"), "--host", host, "--port", str(port)]
    command += ["--loop", "uvloop", "--http", PROTOCOL, "--lifespan", "on"]
    command += ["--ws", SOCKETS, "--ws-max-size", "1024", "--ws-per-message-deflate", "false"]
    command += ["--no-access-log", "--log-level", "warning", "--no-server-header"]
    command += ["--no-proxy-headers"]  # core/proxies.py
    command += ["--timeout-keep-alive", "75", "--timeout-graceful-shutdown", "2"]
    return _child("web", command, folder, env, _WEB_STOP)


def worker(folder: DataFolder, env: dict[str, str]) -> Child:
    """A Celery worker of the default pool, with every base model of that pool."""
    command = [sys.executable, "-m", "celery", "-A", "gpu_workers.process.app", "worker"]
    command += ["-P", "threads", "-c", "2", "-Q", f"gpu.{POOL}", "-n", f"{POOL}@%h"]
    command += ["--without-gossip", "--without-mingle", "--loglevel", "WARNING"]
    return _child("worker", command, folder, env, _WORKER_STOP)


def web_answers(url: str) -> bool:
    """Whether the web process answers its health check, be it that something is wrong."""
    try:
        with _direct.open(f"{url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except urllib.error.HTTPError as error:
        return error.code == 503
    except (urllib.error.URLError, OSError):
        return False


def _child(
    name: str,
    command: list[str],
    folder: DataFolder,
    env: dict[str, str],
    stop_steps: tuple[tuple[int, float], ...],
) -> Child:
    log: Path = folder.log(name)

    def start() -> subprocess.Popen[bytes]:
        # without its launcher such a process would fight the next one over work and port
        return spawn(
            command,
            cwd=REPOSITORY,
            log=log,
            env={**os.environ, **env},
            death_signal=signal.SIGKILL,
        )

    return Child(name, start, stop_steps, log)
