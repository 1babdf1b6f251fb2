"""Usage, the cluster and what is new, in a real browser, of the run that all tests look at."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import LiveStack
from tests.e2e.browser import DESK, PHONE, barriers, overflow, watch
from tests.e2e.trained import BASE_MODEL, STEPS, Trained, sign_in
from tinsmith import AdamParams, Datum

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_what_a_run_has_used_stands_in_the_teams_month(
    page: Page, live_stack: LiveStack, run: Trained
) -> None:
    page.goto(run.url)
    facts = page.locator(".facts")
    tokens = facts.locator("div").filter(has_text="Tokens").locator("dd").inner_text()
    page.goto(f"{live_stack.url}/team/usage")
    expect(page.get_by_role("heading", name="Usage and cost")).to_be_visible()
    row = page.get_by_role("row").filter(has=page.locator(f'a[href="/runs/{run.id}"]'))
    expect(row).to_be_visible()
    # nobody has set prices: tokens alone, and a sentence that says so
    expect(page.get_by_role("columnheader", name="Cost")).to_have_count(0)
    expect(page.get_by_text("The catalog has no prices")).to_be_visible()
    expect(page.get_by_text("does not know which person")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Save as CSV").click()
    with download.value.path().open() as file:
        rows = {one["run"]: one for one in csv.DictReader(file)}
    assert int(rows[run.id]["train"]) > STEPS
    assert int(rows[run.id]["checkpoint"]) > 0
    # the number in the run's header, when it was below a thousand or shortened
    assert _short(int(rows[run.id]["tokens"])) == tokens
    page.get_by_role("radio", name="Kind").check(force=True)
    page.wait_for_url(re.compile("by=kind"))
    expect(page.get_by_role("row").filter(has_text="Tokens trained on")).to_be_visible()
    page.get_by_role("radio", name="Run", exact=True).check(force=True)
    page.get_by_role("heading", name="Usage and cost").click()
    page.keyboard.press("/")
    page.keyboard.type("no such run")
    expect(page.get_by_text("No run that used something is like that")).to_be_visible()
    page.goto(f"{live_stack.url}/team/usage?month=2020-01")
    expect(page.get_by_text("Nothing was used in January 2020")).to_be_visible()


def _short(number: int) -> str:
    """A count as pages show it."""
    if number < 1000:
        return str(number)
    scaled = number / 1000
    return f"{scaled:.1f} k" if scaled < 10 else f"{scaled:.0f} k"


def test_keys_open_a_row_of_the_month(page: Page, live_stack: LiveStack, run: Trained) -> None:
    page.goto(f"{live_stack.url}/team/usage?q={run.id}")
    expect(page.locator(f'a[href="/runs/{run.id}"]')).to_be_visible()
    expect(page.get_by_role("row")).to_have_count(2)
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(run.url)
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/cluster")


def test_the_cluster_shows_workers_and_what_they_hold(page: Page, live_stack: LiveStack) -> None:
    page.goto(f"{live_stack.url}/cluster")
    pool = page.get_by_role("region", name="Pool default")
    expect(pool.get_by_role("row").filter(has_text=BASE_MODEL)).to_be_visible()
    expect(pool.get_by_text("alive")).to_be_visible()
    expect(pool.get_by_text(re.compile("started .* ago"))).to_be_visible()
    expect(page.get_by_text("Nothing of your teams waits for a worker.")).to_be_visible()


def test_who_comes_back_is_told_what_is_new_and_only_once(
    browser: Browser, live_stack: LiveStack, run: Trained
) -> None:
    context = browser.new_context(viewport=DESK)
    page = context.new_page()
    complaints = watch(page)
    sign_in(page, live_stack)
    news = page.get_by_role("region", name="Since you looked")
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    page.goto("about:blank")  # leaving is having seen it
    name = "fresh kettle"
    training = run.service.create_lora_training_client(
        BASE_MODEL, rank=8, user_metadata={"name": name}
    )
    text = training.get_tokenizer().encode("The tinsmith mends the kettle.")
    for step in range(3):
        passed = training.forward_backward([Datum.from_tokens(text)], "cross_entropy")
        training.optim_step(AdamParams(learning_rate=2e-3))
        training.log({"loss": passed.result(60).loss}, step).result(60)
    # a tab that only loads in the background, as a script does, has seen nothing
    context.request.get(f"{live_stack.url}/api/console/since")
    page.goto(live_stack.url)
    sentence = news.get_by_role("link").filter(has_text=name)
    expect(sentence).to_contain_text("loss")
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    assert barriers(page) == []
    sentence.click()
    page.wait_for_url(re.compile(r"/charts\?find=loss"))
    page.go_back()
    # still there: looking at the proof is not leaving
    expect(sentence).to_be_visible()
    news.get_by_role("button", name="Mark as seen").click()
    expect(news).to_have_count(0)
    page.reload()
    expect(page.get_by_role("link", name=name)).to_be_visible()
    expect(news).to_have_count(0)
    assert complaints == []
    context.close()


PAGES = {"usage": "/team/usage", "by-day": "/team/usage?by=day", "cluster": "/cluster"}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_read_the_teams_pages(
    page: Page, live_stack: LiveStack, run: Trained, name: str, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(live_stack.url + PAGES[name])
    expect(page.get_by_role("table").first).to_be_visible()
    expect(page.get_by_text(re.compile("^Loading "))).to_have_count(0)
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    assert barriers(page) == []
