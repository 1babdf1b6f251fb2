"""A client with one session that beats until its standard input ends, in a process of its own.

Prints the seconds that each beat took. Beside a client that sends much, its own process would
measure that client.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

EVERY_S = 0.02


def main(url: str, api_key: str, session_id: str) -> None:
    """Beat until whoever started this closes our standard input."""
    over = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
    seconds = []
    with httpx.Client(
        base_url=f"{url}/api/v1/", headers={"X-API-Key": api_key}, timeout=60
    ) as client:
        while not over.wait(EVERY_S):
            started = time.monotonic()
            client.post("session_heartbeat", json={"session_id": session_id}).raise_for_status()
            seconds.append(time.monotonic() - started)
            if len(seconds) == 1:
                print("beating", flush=True)
    print(json.dumps(seconds))


@contextmanager
def beating(url: str, api_key: str, session_id: str) -> Iterator[list[float]]:
    """Beat while inside; afterwards the list holds what each beat took, in seconds."""
    command = [sys.executable, "-m", "tests.faults.beats", url, api_key, session_id]
    seconds: list[float] = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "beating\n"
        yield seconds
        answer, _ = process.communicate()
    assert process.returncode == 0
    seconds += json.loads(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
