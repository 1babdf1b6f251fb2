"""Pages stay open while what they read from dies: they recover by themselves, and are right."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import psutil
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from config import dashboard
from tests.conftest import LiveStack, make_folder, remove_folder, start_up, stop_up, wait_ready
from tests.e2e.test_crashes import free_port, kill
from tests.e2e.trained import BASE_MODEL, comes, shown, sign_in
from tinsmith import AdamParams, Datum, ServiceClient, TrainingClient

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

# what is told by the clock, and so differs between two looks
_BY_THE_CLOCK = re.compile(r"just now|\b\d+ (?:s|min|h|d)\b(?: \d+ \w+)?(?: ago)?")


@pytest.fixture
def stack() -> Iterator[LiveStack]:
    """A platform of the test's own, for it is to be killed."""
    if not dashboard.can_build():
        pytest.skip("no Node.js here, hence no dashboard")
    folder = make_folder()
    process = start_up(folder, "--port", free_port())
    try:
        yield wait_ready(process, folder)
    finally:
        stop_up(process)
        remove_folder(folder)


@dataclass
class Program:
    """A program that trains and logs until it is told to stop."""

    training: TrainingClient
    losses: list[float] = field(default_factory=list)
    stopping: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Step after step, whatever becomes of the server."""
        while not self.stopping.wait(0.2):
            text = [(7 * len(self.losses) + i * i) % 400 for i in range(16)]
            passed = self.training.forward_backward([Datum.from_tokens(text)], "cross_entropy")
            self.training.optim_step(AdamParams(learning_rate=1e-3)).result(120)
            self.losses.append(passed.result(120).loss)
            self.training.log({"loss": self.losses[-1]}, len(self.losses) - 1).result(120)


def test_pages_recover_by_themselves(browser: Browser, stack: LiveStack) -> None:
    context = browser.new_context()
    first = context.new_page()
    sign_in(first, stack)
    expect(first.get_by_role("heading", name="Runs", exact=True)).to_be_visible()
    with ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
        training = service.create_lora_training_client(
            BASE_MODEL, rank=8, user_metadata={"name": "stubborn"}
        )
        program = Program(training)
        thread = threading.Thread(target=program.run, daemon=True)
        thread.start()
        address = training.get_console_url()
        pages = [opened(context, where) for where in (stack.url, address, f"{address}/charts")]
        for words in (["uvicorn"], ["celery"], ["postgres", "-D"]):
            before = len(program.losses)
            kill(child_of(stack, words))
            comes(pages[0], lambda before=before: len(program.losses) > before + 3)
        program.stopping.set()
        thread.join(120)
        assert not thread.is_alive()
        for page in pages:
            last = shown(program.losses[-1])
            expect(page.get_by_text(last).first).to_be_visible(timeout=60_000)
            fresh = opened(context, page.url)
            expect(fresh.get_by_text(last).first).to_be_visible()
            comes(page, lambda page=page, fresh=fresh: told(page) == told(fresh))
    context.close()


def opened(context: BrowserContext, address: str) -> Page:
    """A tab with a page of the dashboard that shows the run."""
    page = context.new_page()
    page.goto(address)
    expect(page.get_by_text("stubborn").first).to_be_visible()
    return page


def told(page: Page) -> str:
    """What a page says, but for what the clock alone changes."""
    return _BY_THE_CLOCK.sub("", page.locator("main").inner_text())


def child_of(stack: LiveStack, words: list[str]) -> psutil.Process:
    """A process that the launcher has started."""
    for child in psutil.Process(stack.process.pid).children(recursive=True):
        line = " ".join(child.cmdline())
        if all(word in line for word in words):
            return child
    raise AssertionError(f"no process of {words}")
