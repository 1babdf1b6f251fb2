"""What open pages cost, and how soon they are told. Nothing here decides a test.

    python tests/benchmarks/sockets.py [--sockets 1000] [--runs 20] [--rate 2] [--seconds 30]

A real platform. So many sockets, spread over so many runs, of each of which so many batches of
metrics a second are logged over HTTP. Prints how long it took from the event (its transaction's
beginning) to the frame at the client, the resident memory of the web process for each socket, how
busy it was, and what was missing or came twice. The targets with 1000, 20 and 2: p99 below 500 ms,
less than 100 kB a socket, nothing missing, nothing twice.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import time
from collections import Counter, defaultdict
from datetime import datetime
from pathlib import Path
from urllib.parse import urlencode, urlsplit

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

import httpx
import psutil
import websockets
from websockets.asyncio.client import ClientConnection, connect

from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready

MODEL = "tinsmith/nano-qwen3"
OPENING_AT_ONCE = 20
SOCKETS_OF_USER = 60
KB = 1000


class Screens:
    """All sockets, and what they were told."""

    def __init__(self) -> None:
        self.sockets: list[ClientConnection] = []
        self.told: dict[str, Counter[int]] = defaultdict(Counter)
        self.delays_s: list[float] = []
        self.frames = 0
        self.lost = 0
        self._hearing: list[asyncio.Task[None]] = []

    async def open(self, stack: LiveStack, run: str, cookie: str) -> None:
        """Open a socket of a run and hear what comes."""
        place = urlsplit(stack.url).netloc
        socket = await connect(
            f"ws://{place}/api/console/live?{urlencode({'run': run})}",
            origin=websockets.Origin(f"http://{place}"),
            additional_headers={"Cookie": f"sessionid={cookie}"},
            compression=None,
            ping_interval=None,
            open_timeout=60,
        )
        self.sockets.append(socket)
        await socket.recv()
        self._hearing.append(asyncio.create_task(self._hear(socket, run)))

    async def _hear(self, socket: ClientConnection, run: str) -> None:
        try:
            async for text in socket:
                now = time.time()
                self.frames += 1
                for event in json.loads(text).get("events", []):
                    self.told[run][event["id"]] += 1
                    self.delays_s.append(now - datetime.fromisoformat(event["at"]).timestamp())
        finally:
            self.lost += 1

    async def close(self) -> None:
        """Hear nothing more."""
        for task in self._hearing:
            task.cancel()
        await asyncio.gather(*self._hearing, return_exceptions=True)
        for socket in self.sockets:
            socket.transport.abort()


def cookies(stack: LiveStack, number: int) -> list[str]:
    """Sessions of so many members of the team that the platform's key belongs to."""
    import django

    django.setup()
    from django.test import Client

    from accounts.models import Team, User
    from accounts.services import set_role

    team = Team.objects.get()
    found = []
    for place in range(number):
        user = User.objects.create(username=f"looker {place}")
        user.set_unusable_password()
        user.save()
        set_role(team=team, user=user)
        client = Client()
        client.force_login(user)
        found.append(client.cookies["sessionid"].value)
    return found


def make_runs(stack: LiveStack, number: int) -> list[str]:
    """Runs of one session."""
    with api(stack) as client:
        session = client.post("create_session", json={"tags": [], "user_metadata": {}}).json()
        lora = {"rank": 8, "train_unembed": True, "train_mlp": True, "train_attn": True}
        return [
            client.post(
                "create_model",
                json={
                    "session_id": session["session_id"],
                    "model_seq_id": place,
                    "base_model": MODEL,
                    "lora_config": lora,
                    "type": "create_model",
                },
            ).json()["model_id"]
            for place in range(number)
        ]


def api(stack: LiveStack) -> httpx.Client:
    """A client of the wire protocol."""
    headers = {"X-API-Key": stack.api_key}
    return httpx.Client(base_url=f"{stack.url}/api/v1/", headers=headers, timeout=60)


async def log_for(stack: LiveStack, run: str, rate: float, seconds: float, begins: float) -> int:
    """Log batches of metrics of a run; returns how many."""
    headers = {"X-API-Key": stack.api_key}
    sent = 0
    async with httpx.AsyncClient(
        base_url=f"{stack.url}/api/v1/", headers=headers, timeout=60
    ) as client:
        while (due := sent / rate) < seconds:
            await asyncio.sleep(max(0.0, begins + due - time.monotonic()))
            metrics = [{"key": f"loss/{n}", "step": sent, "value": 0.5} for n in range(5)]
            (await client.post(f"runs/{run}/metrics", json={"metrics": metrics})).raise_for_status()
            sent += 1
    return sent


async def measure(stack: LiveStack, wanted: argparse.Namespace, signed_in: list[str]) -> None:
    """Open the sockets, log for a while, say what came of it."""
    children = psutil.Process(stack.process.pid).children()
    (web,) = (child for child in children if "uvicorn" in " ".join(child.cmdline()))
    runs = await asyncio.to_thread(make_runs, stack, wanted.runs)
    screens, turns = Screens(), asyncio.Semaphore(OPENING_AT_ONCE)

    async def open_one(place: int) -> None:
        async with turns:
            cookie = signed_in[place // SOCKETS_OF_USER]
            await screens.open(stack, runs[place % len(runs)], cookie)

    await open_one(0)  # what the first one makes the process load is no other's
    before, began = web.memory_info().rss, time.monotonic()
    await asyncio.gather(*(open_one(place) for place in range(1, wanted.sockets)))
    opened_s = time.monotonic() - began
    each = (web.memory_info().rss - before) / max(1, wanted.sockets - 1)
    screens.frames, screens.delays_s = 0, []
    cpu, began = sum(web.cpu_times()[:2]), time.monotonic()
    sent = await asyncio.gather(
        *(
            # not all at once: runs know nothing of each other
            log_for(stack, run, wanted.rate, wanted.seconds, began + place / len(runs))
            for place, run in enumerate(runs)
        )
    )
    await asyncio.sleep(2)
    busy = (sum(web.cpu_times()[:2]) - cpu) / (time.monotonic() - began)
    peak = (web.memory_info().rss - before) / max(1, wanted.sockets - 1)
    lost = screens.lost
    await screens.close()
    report(screens, runs, sent, wanted.sockets)
    print(f"{lost} sockets lost; opened in {opened_s:.1f} s; web process {busy:.0%} of a core")
    print(f"memory a socket: {each / KB:.0f} kB open, {peak / KB:.0f} kB at work")


def report(screens: Screens, runs: list[str], sent: list[int], sockets: int) -> None:
    """Say how soon things were told, and whether all of them once."""
    missing = twice = 0
    for place, (run, number) in enumerate(zip(runs, sent, strict=True)):
        watching = len(range(place, sockets, len(runs)))
        counts = screens.told[run]
        missing += number * watching - sum(min(count, watching) for count in counts.values())
        twice += sum(max(0, count - watching) for count in counts.values())
    delays = sorted(1000 * delay for delay in screens.delays_s)
    cuts = statistics.quantiles(delays, n=100) if len(delays) > 1 else [0.0] * 99
    print(f"{len(delays)} events told in {screens.frames} frames; missing {missing}, twice {twice}")
    print(f"ms to the screen: p50 {cuts[49]:.0f}, p95 {cuts[94]:.0f}, p99 {cuts[98]:.0f}")


def main() -> None:
    """Run the platform, measure, stop it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sockets", type=int, default=1000)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--rate", type=float, default=2.0, help="batches a second, of each run")
    parser.add_argument("--seconds", type=float, default=30.0)
    wanted = parser.parse_args()
    folder = make_folder()
    process = start_up(folder)
    try:
        stack = wait_ready(process, folder)
        os.environ |= {
            "TINSMITH_DATA_DIR": str(folder),
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        users = -(-wanted.sockets // SOCKETS_OF_USER)
        asyncio.run(measure(stack, wanted, cookies(stack, users)))
    finally:
        stop_up(process)
        remove_folder(folder)


if __name__ == "__main__":
    main()
