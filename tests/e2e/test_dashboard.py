"""The dashboard in a real browser, on a whole platform, with a run that really trains."""

from __future__ import annotations

import csv
import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.conftest import LiveStack
from tests.e2e.browser import PHONE, barriers, overflow, watch
from tests.e2e.trained import GROUPS, SIBLINGS, STEPS, Trained, comes, shown

WORD = re.compile(r"\w+")

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


def test_whoever_is_not_signed_in_signs_in_and_comes_back(
    browser: Browser, live_stack: LiveStack, run: Trained
) -> None:
    context = browser.new_context()
    page = context.new_page()
    complaints = watch(page)
    page.goto(run.url)
    page.wait_for_url("**/sign-in?next=*")
    page.get_by_label("Name").fill("nobody")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("the name or the password is not right")
    page.get_by_label("Name").fill(live_stack.admin_username)
    page.get_by_label("Password").fill(live_stack.admin_password)
    page.keyboard.press("Enter")
    page.wait_for_url(run.url)
    expect(page.get_by_role("heading", name="kettle <b>1</b>", exact=True)).to_be_visible()
    page.get_by_role("button", name="settings and sign out").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.wait_for_url("**/sign-in")
    page.goto(run.url)
    page.wait_for_url("**/sign-in?next=*")
    assert complaints == []
    context.close()


def test_home_lists_the_run_and_keys_open_it(
    page: Page, live_stack: LiveStack, run: Trained
) -> None:
    page.goto(live_stack.url)
    row = page.get_by_role("row").filter(has=page.locator(f'a[href="/runs/{run.id}"]'))
    expect(row).to_contain_text(f"{STEPS} / {STEPS + 4}")
    expect(row.locator("strong")).to_have_text(shown(run.losses[-1]))
    page.keyboard.press("/")
    page.keyboard.type("kettle <b>")
    page.wait_for_url("**/?q=kettle*")
    expect(page.get_by_role("row")).to_have_count(2)  # with the head
    page.keyboard.press("Tab")
    page.get_by_role("heading", name="Runs").click()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(run.url)


def test_the_overview_says_what_the_program_has_seen(page: Page, run: Trained) -> None:
    page.goto(run.url)
    expect(page.get_by_label("Verdict")).to_contain_text(
        f"loss {shown(run.losses[0])} → {shown(run.losses[-1])}"
    )
    tile = page.get_by_label("Latest metrics").get_by_role("link", name="loss")
    expect(tile).to_contain_text(shown(run.losses[-1]))
    operations = page.get_by_role("row").filter(has_text="optim_step")
    expect(operations).to_contain_text(str(STEPS))
    expect(page.get_by_label("Curves").locator("canvas").first).to_be_visible()


def test_a_value_that_is_logged_now_is_told_and_shown_without_reloading(
    page: Page, run: Trained
) -> None:
    frames: list[str] = []
    page.on("websocket", lambda line: line.on("framereceived", lambda text: frames.append(text)))
    page.goto(run.url)
    tile = page.get_by_label("Latest metrics").get_by_role("link", name="live")
    expect(tile).to_have_count(0)
    comes(page, lambda: bool(frames))
    run.training.log({"live": 4711.0}, STEPS).result(60)
    expect(tile).to_contain_text("4711")
    comes(page, lambda: any('"metrics.logged"' in text for text in frames))


def test_charts_zoom_smooth_and_can_be_taken_home(page: Page, run: Trained) -> None:
    # only that: each section of metrics asks for its own curves
    page.goto(f"{run.url}/charts?find=%5Eloss%24")
    chart = page.get_by_role("article", name="loss", exact=True)
    canvas = chart.locator(".u-over")
    expect(canvas).to_be_visible()
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    expect(chart.locator(".readout")).to_contain_text("step")
    with page.expect_response(re.compile(r"/series\?.*from=")) as zoomed:
        page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + 50)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + 60, steps=4)
        page.mouse.up()
    (series,) = zoomed.value.json()["series"]
    assert 0 < series["total"] < STEPS
    assert f"from={series['steps'][0]}" in page.url
    page.mouse.dblclick(box["x"] + box["width"] / 2, box["y"] + 50)
    page.wait_for_url(re.compile(r"/charts\?find=%5Eloss%24$"))
    page.mouse.move(5, 5)
    with page.expect_response(re.compile(r"/series\?.*smoothing=0\.9")):
        page.get_by_label("Weight of smoothing").fill("0.9")
    page.get_by_label("log y").check()
    page.get_by_role("radio", name="time").check(force=True)
    page.wait_for_url(re.compile("x=time"))
    page.goto(f"{run.url}/charts?find=%5Eloss%24")
    chart.get_by_role("button", name="More of loss").click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Save as CSV").click()
    with download.value.path().open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["last"]) for row in rows] == pytest.approx(run.losses, rel=1e-6)
    chart.get_by_role("button", name="More of loss").click()
    with page.expect_download() as picture:
        page.get_by_role("menuitem", name="Save as PNG").click()
    assert picture.value.path().read_bytes().startswith(b"\x89PNG")
    chart.get_by_role("button", name="More of loss").click()
    page.get_by_role("menuitem", name="Show as a table").click()
    table = chart.get_by_role("region", name="Values of loss")
    expect(table.get_by_role("row")).to_have_count(STEPS + 1)
    expect(table).to_contain_text(shown(run.losses[-1]))


def test_rollouts_are_read_by_step_group_and_sibling(page: Page, run: Trained) -> None:
    page.goto(f"{run.url}/rollouts")
    last = max(run.rewards)
    expect(page.get_by_text(f"Step {last}", exact=True)).to_be_visible()
    rewards = run.rewards[last]
    mean = sum(rewards) / len(rewards)
    expect(page.locator(".step-head")).to_contain_text(f"mean reward {shown(mean)}")
    cards = page.get_by_role("article")
    expect(cards).to_have_count(SIBLINGS)
    groups = [rewards[at : at + SIBLINGS] for at in range(0, len(rewards), SIBLINGS)]
    # looked at first: there is something to learn from
    mixed = next((at for at, of_group in enumerate(groups) if len(set(of_group)) > 1), 0)
    texts = [card.locator(".words").inner_text() for card in cards.all()]
    said = run.said[-GROUPS * SIBLINGS :][mixed * SIBLINGS : (mixed + 1) * SIBLINGS]
    assert [WORD.findall(text) for text in texts] == [WORD.findall(one) for one in said]
    page.get_by_label("Groups of the step").get_by_role("button").first.click()
    page.wait_for_url(re.compile("g=0"))
    page.keyboard.press("Shift+J")
    page.wait_for_url(re.compile("g=1"))
    page.keyboard.press("[")
    page.wait_for_url(re.compile(f"step={last - 4}"))
    expect(page.get_by_text(f"Step {last - 4}", exact=True)).to_be_visible()
    page.keyboard.press("s")
    page.wait_for_url(re.compile("sig=surprise"))
    expect(page.get_by_label("Colours: surprise in nats")).to_be_visible()
    coloured = page.evaluate("[...CSS.highlights.values()].reduce((sum, one) => sum + one.size, 0)")
    assert coloured > 0
    page.keyboard.press("/")
    page.keyboard.type("pots")
    expect(page.get_by_label("Groups of the step").get_by_role("button")).to_have_count(1)


def test_checkpoints_and_settings(page: Page, live_stack: LiveStack, run: Trained) -> None:
    page.goto(f"{run.url}/checkpoints")
    path = f"tinker://{run.id}/sampler_weights/kettle"
    expect(page.get_by_role("row").filter(has_text=path)).to_contain_text("to sample from")
    page.get_by_role("button", name="Copy the address of kettle").click()
    assert page.evaluate("navigator.clipboard.readText()") == path
    page.get_by_role("link", name="About").click()
    expect(page.get_by_text("attention, feed-forward, unembedding")).to_be_visible()
    page.goto(f"{live_stack.url}/checkpoints")
    expect(page.get_by_role("row").filter(has_text="kettle").first).to_be_visible()


def test_the_addresses_that_clients_give_lead_somewhere(
    page: Page, live_stack: LiveStack, run: Trained
) -> None:
    page.goto(run.service.get_console_url())
    expect(page.get_by_role("link", name="kettle <b>1</b>")).to_be_visible()
    # the paths of the public client's addresses
    page.goto(f"{live_stack.url}/training_runs/{run.id}")
    page.wait_for_url(run.url)
    page.goto(f"{live_stack.url}/checkpoints/{run.id}/sampler_weights%2Fkettle")
    page.wait_for_url(f"{run.url}/checkpoints")
    page.goto(f"{live_stack.url}/runs/{run.id[:-1]}9")
    expect(page.get_by_role("heading", name="There is nothing here")).to_be_visible()


PAGES = {
    "home": "/",
    "overview": "/runs/{run}",
    "charts": "/runs/{run}/charts",
    "rollouts": "/runs/{run}/rollouts?g=1&sig=surprise",
    "checkpoints": "/runs/{run}/checkpoints",
    "about": "/runs/{run}/about",
    "all-checkpoints": "/checkpoints",
    "sign-in": "/sign-in",
    "missing": "/runs/nowhere",
}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_everybody_can_read_every_page(
    page: Page, live_stack: LiveStack, run: Trained, name: str, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(live_stack.url + PAGES[name].format(run=run.id))
    expect(page.get_by_role("heading").first).to_be_visible()
    expect(page.get_by_text(re.compile("^Loading "))).to_have_count(0)
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    expect(page.get_by_role("heading").first).to_be_visible()
    assert overflow(page) <= 0
    assert barriers(page) == []
