"""What strangers and greedy teams cost everybody else. Nothing here decides a test.

    python tests/benchmarks/abuse.py [bodies] [heads] [pages] [saves] [sign-ins]

A real platform. Prints the resident memory of the web process before, at most and after 20 refused
bodies of 100 MB, heads without bounds and large bodies to pages; how long a publication takes
beside 300 saves of another team; and a training step beside 40 wrong sign-ins a second.
The targets: memory grows by 50 MB (bodies) and 20 MB (heads, pages) at most, a publication takes
three times as long at most, the 95th percentile of steps twice, and nothing answers with 5xx.
"""

from __future__ import annotations

import argparse
import http.client
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlencode, urlsplit

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY), str(REPOSITORY / "platform")]

import psutil

from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready
from tinsmith import (
    AdamParams,
    Datum,
    ModelInput,
    SamplingParams,
    ServiceClient,
    TrainingClient,
)

MODEL = "tinsmith/nano-qwen3"
MB = 1_000_000


class Attack:
    """Where it goes, and what came of it."""

    def __init__(self, stack: LiveStack) -> None:
        self.stack = stack
        parts = urlsplit(stack.url)
        self.address = (parts.hostname or "", parts.port or 80)
        children = psutil.Process(stack.process.pid).children()
        (self.web,) = (child for child in children if "uvicorn" in " ".join(child.cmdline()))
        self.answers: Counter[str] = Counter()

    def send(self, *parts: bytes) -> None:
        """Send raw bytes and count the status of what comes back."""
        with socket.create_connection(self.address, timeout=60) as link:
            came = b""
            with suppress(OSError):
                for part in parts:
                    link.sendall(part)
            with suppress(OSError):
                came = link.recv(65536)
            self.answers[came[9:12].decode() or "cut off"] += 1

    @contextmanager
    def watched(self, name: str) -> Iterator[None]:
        """Print the web process's memory before, at most and after."""
        before = highest = self.web.memory_info().rss
        done = threading.Event()

        def look() -> None:
            nonlocal highest
            while not done.wait(0.02):
                highest = max(highest, self.web.memory_info().rss)

        looking = threading.Thread(target=look)
        looking.start()
        self.answers.clear()
        begun = time.monotonic()
        yield
        took = time.monotonic() - begun
        done.set()
        looking.join()
        time.sleep(3)
        after = self.web.memory_info().rss
        print(
            f"{name}: {before / MB:.0f} MB before, {highest / MB:.0f} at most, "
            f"{after / MB:.0f} after ({(after - before) / MB:+.0f}), {took:.0f} s; "
            f"answers {dict(self.answers)}",
            flush=True,
        )


def bodies(attack: Attack) -> None:
    """Bodies of 100 MB that are refused once they are there."""
    content = bytes(100 * MB)
    kinds = {"application/x-protobuf": "forward_backward", "application/json": "create_session"}
    with attack.watched("20 refused bodies of 100 MB"):
        for number in range(20):
            kind, route = list(kinds.items())[number % 2]
            head = (
                f"POST /api/v1/{route} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\n"
                f"X-API-Key: {attack.stack.api_key}\r\nConnection: close\r\n"
                f"Content-Length: {len(content)}\r\n\r\n"
            )
            attack.send(head.encode(), content)


def heads(attack: Attack) -> None:
    """Heads without bounds, and many that never end."""
    begun = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
    with attack.watched("10 heads of 48 MB, 5 of two million lines"):
        for _ in range(10):
            attack.send(begun + b"X: ", *[b"y" * MB] * 48, b"\r\n\r\n")
        for _ in range(5):
            attack.send(begun, *[b"a: b\r\n" * 10_000] * 200, b"\r\n")
    with attack.watched("500 heads that never end"):
        silent = [socket.create_connection(attack.address) for _ in range(500)]
        for link in silent:
            link.sendall(begun + b"X: " + b"y" * 30_000)
        time.sleep(12)
        for link in silent:
            attack.answers[link.recv(65536)[9:12].decode() or "cut off"] += 1
            link.close()


def pages(attack: Attack) -> None:
    """Bodies to pages: large ones, and many that never end."""
    post = "POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
    sized = f"{post}Content-Length: 50000000\r\n\r\n".encode()
    chunked = f"{post}Transfer-Encoding: chunked\r\n\r\n".encode()
    small = f"{post}Content-Length: 200000\r\n\r\n".encode()
    with attack.watched("20 bodies of 50 MB to pages"):
        for _ in range(10):
            attack.send(sized, *[b"x" * MB] * 50)
            attack.send(chunked, *[b"f4240\r\n" + b"x" * MB + b"\r\n"] * 50)
    with attack.watched("300 bodies of 0.2 MB to pages that never end"):
        silent = [socket.create_connection(attack.address) for _ in range(300)]
        for link in silent:
            link.sendall(small + b"x" * 199_000)
        time.sleep(12)
        for link in silent:
            attack.answers[link.recv(65536)[9:12].decode() or "cut off"] += 1
            link.close()


def steps(training: TrainingClient, until: Callable[[int, float], bool]) -> list[float]:
    """How long each of some training steps takes, in seconds."""
    took: list[float] = []
    begun = time.monotonic()
    while not until(len(took), time.monotonic() - begun):
        at = time.monotonic()
        data = [Datum.from_tokens([(len(took) + index) % 400 for index in range(33)])]
        passed = training.forward_backward(data, "cross_entropy")
        training.optim_step(AdamParams(learning_rate=1e-5)).result()
        passed.result()
        took.append(time.monotonic() - at)
    return took


def sign_ins(attack: Attack, other_key: str) -> None:
    """40 wrong sign-ins a second for half a minute, from one address."""
    seconds, rate = 30, 40
    with ServiceClient(base_url=attack.stack.url, api_key=other_key) as service:
        training = service.create_lora_training_client(MODEL, rank=16)
        steps(training, lambda count, _: count >= 20)
        alone = steps(training, lambda _, passed: passed >= seconds)
        attack.answers.clear()
        threads = [
            threading.Timer(number / rate, wrong_sign_in, [attack, f"name-{number}"])
            for number in range(seconds * rate)
        ]
        for thread in threads:
            thread.start()
        beside = steps(training, lambda _, passed: passed >= seconds)
        for thread in threads:
            thread.join()
    p95 = [statistics.quantiles(found, n=20)[-1] * 1000 for found in (alone, beside)]
    print(
        f"steps beside {rate} wrong sign-ins a second: p95 {p95[1]:.0f} ms, alone {p95[0]:.0f} ms "
        f"(x{p95[1] / p95[0]:.2f}); answers {dict(attack.answers)}",
        flush=True,
    )


def wrong_sign_in(attack: Attack, name: str) -> None:
    """One try, with the page's token."""
    link = http.client.HTTPConnection(*attack.address, timeout=60)
    try:
        link.request("GET", "/admin/login/")
        page = link.getresponse()
        cookie = (page.headers["Set-Cookie"] or "").partition(";")[0]
        token = re.search(rb'csrfmiddlewaretoken" value="(\w+)"', page.read())
        if token is None:
            attack.answers[f"page {page.status}"] += 1
            return
        form = {"csrfmiddlewaretoken": token[1].decode(), "username": name, "password": "wrong"}
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie}
        link.request("POST", "/admin/login/", urlencode(form), headers)
        attack.answers[str(link.getresponse().status)] += 1
    except (OSError, http.client.HTTPException) as error:
        attack.answers[type(error).__name__] += 1
    finally:
        link.close()


def saves(attack: Attack, other_key: str) -> None:
    """300 saves of one team at once, and publications of another meanwhile."""
    url = attack.stack.url
    with (
        ServiceClient(base_url=url, api_key=attack.stack.api_key) as greedy,
        ServiceClient(base_url=url, api_key=other_key) as service,
    ):
        saver = greedy.create_lora_training_client(MODEL, rank=16)
        training = service.create_lora_training_client(MODEL, rank=16)
        steps(training, lambda count, _: count >= 5)
        steps(saver, lambda count, _: count >= 1)

        def publish() -> float:
            at = time.monotonic()
            sampler = training.save_weights_and_get_sampling_client()
            sampler.sample(ModelInput.from_ints([1]), 1, SamplingParams(max_tokens=1)).result()
            return time.monotonic() - at

        publish()
        alone = [publish() for _ in range(10)]
        begun = time.monotonic()
        saving = [saver.save_state(f"s{number}") for number in range(300)]
        beside: list[float] = []
        while not all(future.done() for future in saving[:290]):
            beside.append(publish())
        for future in saving:
            future.result()
        took = time.monotonic() - begun
    medians = statistics.median(alone), statistics.median(beside or [float("nan")])
    print(
        f"publications beside 300 saves ({took:.1f} s): median {medians[1]:.2f} s, worst "
        f"{max(beside, default=float('nan')):.2f} s of {len(beside)}; alone {medians[0]:.2f} s "
        f"(x{medians[1] / medians[0]:.1f})",
        flush=True,
    )


def key_of_another_team(stack: LiveStack) -> str:
    """A second team's key."""
    command = [sys.executable, str(REPOSITORY / "manage.py"), "create_api_key"]
    env = {**os.environ, "TINSMITH_DATA_DIR": str(stack.folder), "TINSMITH_NO_VENV": "1"}
    done = subprocess.run(
        [*command, "--create-team", "Other", "abuse"], env=env, capture_output=True, check=True
    )
    found = re.search(rb"tml-[\w-]+", done.stdout)
    assert found, done.stdout
    return found[0].decode()


def main() -> None:
    """Attack in each way that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ways = ["bodies", "heads", "pages", "saves", "sign-ins"]
    parser.add_argument("ways", nargs="*", metavar="WAY", help=", ".join(ways))
    wanted = parser.parse_args().ways or ways
    folder = make_folder()
    process = start_up(folder)
    try:
        stack = wait_ready(process, folder)
        other_key = key_of_another_team(stack)
        attack = Attack(stack)
        # what a first request loads is no growth
        for _ in range(20):
            wrong = b"Host: localhost\r\nConnection: close\r\n\r\n"
            attack.send(b"GET /admin/login/ HTTP/1.1\r\n" + wrong)
            attack.send(b"GET /api/v1/get_server_capabilities HTTP/1.1\r\n" + wrong)
        for way, run in (("bodies", bodies), ("heads", heads), ("pages", pages)):
            if way in wanted:
                run(attack)
        if "saves" in wanted:
            saves(attack, other_key)
        if "sign-ins" in wanted:
            sign_ins(attack, other_key)
    finally:
        stop_up(process)
        remove_folder(folder)


if __name__ == "__main__":
    main()
