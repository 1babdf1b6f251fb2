"""The documentation in a real browser: search, copy buttons, a phone's width, nothing blocked."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from django.core.wsgi import get_wsgi_application
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect, sync_playwright

from reference.guide.contents import contents

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1400, "height": 900}
PATIENCE_MS = 30_000


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *_: object) -> None:
        """Nothing."""


class Server(ThreadingMixIn, WSGIServer):
    """A thread a request, as browsers open several connections."""

    daemon_threads = True


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The pages, which need no database."""
    server = make_server("127.0.0.1", 0, get_wsgi_application(), Server, Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/docs/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, of the system or Playwright's own, which is patient: machines may be busy."""
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
        except Error as error:
            pytest.skip(f"no Chromium here: {error}")
        yield started
        started.close()
    expect.set_options(timeout=5_000)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A fresh browser that may use the clipboard."""
    made = browser.new_context(viewport=DESK, permissions=["clipboard-read", "clipboard-write"])
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """A tab in which nothing may go wrong: scripts, and what the pages' policy forbids."""
    made = context.new_page()
    complaints: list[str] = []
    made.on("console", lambda message: complaints.append(message.text))
    made.on("pageerror", lambda error: complaints.append(str(error)))
    yield made
    assert complaints == []


def test_search_finds_a_heading_and_leads_to_it(page: Page, site: str) -> None:
    page.goto(site)
    page.keyboard.press("/")
    page.keyboard.type("zeros prompt predicted")
    found = page.locator("#found [role=option]").first
    expect(found).to_contain_text("Zeros where the prompt is predicted")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site}rl-data#zeros-where-the-prompt-is-predicted")
    page.fill("#search input", "no such thing anywhere")
    expect(page.locator("#found")).to_contain_text("Nothing about")
    page.keyboard.press("Escape")
    expect(page.locator("#found")).to_be_hidden()


def test_search_finds_methods_routes_and_commands(page: Page, site: str) -> None:
    page.goto(f"{site}quickstart")
    for words, address in (
        ("save_state", "sdk#"),
        ("retrieve_future", "api#"),
        ("tinsmith chat", "cli#command-chat"),
    ):
        page.fill("#search input", words)
        expect(page.locator(f'#found a[href^="{address}"]').first).to_be_visible()


def test_code_is_copied_without_prompts_and_output(page: Page, site: str) -> None:
    page.goto(f"{site}quickstart")
    block = page.locator(".copied").first
    block.hover()
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == "git clone <this repository> tinsmith && cd tinsmith\npython3 manage.py up\n"
    page.goto(f"{site}sdk")
    example = page.locator(".copied:has(.prompt)").first
    example.hover()
    example.get_by_role("button", name="Copy").click()
    assert ">>>" not in page.evaluate("navigator.clipboard.readText()")


def test_the_menu_opens_on_a_phone(page: Page, site: str) -> None:
    page.set_viewport_size(PHONE)
    page.goto(f"{site}quickstart")
    page.get_by_role("link", name="Menu").click()
    link = page.locator("#pages").get_by_role("link", name="Which recipe")
    expect(link).to_be_in_viewport()
    link.click()
    page.wait_for_url(f"{site}which-recipe")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_is_wider_than_a_phone(page: Page, site: str, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size(PHONE)
    slugs = list(contents().by_slug)
    for slug in ["", *(slugs if scheme == "light" else slugs[:2])]:
        page.goto(site + slug)
        wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert wide <= 0, slug
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in background.strip("rgb()").split(",")) / 3
    assert (lightness > 128) == (scheme == "light")
