"""One run for all tests of the dashboard, for training takes time; a browser for each file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from config import dashboard
from tests.conftest import REPOSITORY, LiveStack
from tests.e2e.browser import DESK, chromium, watch
from tests.e2e.trained import PATIENCE_MS, Trained, sign_in, train


@pytest.fixture(scope="session")
def run(live_stack: LiveStack) -> Iterator[Trained]:
    """The run that all of these tests look at."""
    if not dashboard.can_build():
        pytest.skip("no Node.js here, hence no dashboard")
    dashboard.install(REPOSITORY / "frontend", for_tests=True)  # axe
    yield from train(live_stack)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, which is patient: passwords are slow to check, and machines may be busy."""
    expect.set_options(timeout=PATIENCE_MS)
    with chromium() as started:
        yield started
    expect.set_options(timeout=5_000)


@pytest.fixture(scope="module")
def signed_in(browser: Browser, live_stack: LiveStack, run: Trained) -> Path:
    """A file with the cookies of somebody who is signed in, for passwords are slow to check."""
    context = browser.new_context()
    page = context.new_page()
    sign_in(page, live_stack)
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    file = live_stack.folder / "cookies.json"
    context.storage_state(path=file)
    context.close()
    return file


@pytest.fixture
def context(browser: Browser, signed_in: Path) -> Iterator[BrowserContext]:
    """A browser in which the administrator is signed in."""
    made = browser.new_context(
        viewport=DESK,
        storage_state=signed_in,
        permissions=["clipboard-read", "clipboard-write"],
        accept_downloads=True,
    )
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which nothing may go wrong."""
    made = context.new_page()
    complaints = watch(made)
    yield made
    assert complaints == []
