"""The dashboard in a real browser, on a whole platform, with a run that really trains."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

import tinsmith
from config import dashboard
from tests.conftest import REPOSITORY, LiveStack
from tests.e2e.browser import DESK, PHONE, barriers, chromium, overflow, watch
from tinsmith import AdamParams, Datum, SamplingParams

BASE_MODEL = "tinsmith/nano-qwen3"
STEPS, GROUPS, SIBLINGS = 12, 4, 4
PATIENCE_MS = 30_000
WORD = re.compile(r"\w+")

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@dataclass
class Trained:
    """A run that has trained, and what its program has seen of it."""

    service: tinsmith.ServiceClient
    training: tinsmith.TrainingClient
    url: str
    losses: list[float] = field(default_factory=list)
    rewards: dict[int, list[float]] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.training.model_id


def train(stack: LiveStack) -> Iterator[Trained]:
    """Learn a sentence, and now and then sample and grade; all of it is told to the server."""
    with tinsmith.ServiceClient(base_url=stack.url, api_key=stack.api_key) as service:
        training = service.create_lora_training_client(
            BASE_MODEL,
            rank=8,
            user_metadata={"name": "kettle <b>1</b>", "planned_steps": str(STEPS + 4)},
        )
        trained = Trained(service, training, training.get_console_url())
        tokenizer = training.get_tokenizer()
        text = tokenizer.encode("The tinsmith mends the kettle.")
        prompt = tinsmith.ModelInput.from_ints(text[:3])
        for step in range(STEPS):
            passed = training.forward_backward([Datum.from_tokens(text)], "cross_entropy")
            training.optim_step(AdamParams(learning_rate=2e-3))
            trained.losses.append(passed.result(60).loss)
            training.log({"loss": trained.losses[-1], "optim/lr": 2e-3}, step).result(60)
            if step % 4 == 0:
                roll_out(trained, tokenizer, prompt, step)
        training.save_weights_for_sampler("kettle").result(60)
        yield trained


def roll_out(trained: Trained, tokenizer: object, prompt: tinsmith.ModelInput, step: int) -> None:
    """Sample groups, grade them by how many letters "e" they have, and record them."""
    recorded = trained.training.save_weights_and_get_sampling_client(record_stability_info=True)
    params = SamplingParams(max_tokens=12, seed=step)
    rollouts = []
    for group in range(GROUPS):
        for index, sample in enumerate(
            recorded.sample(prompt, SIBLINGS, params).result(60).sequences
        ):
            said = tokenizer.decode(sample.tokens)  # type: ignore[attr-defined]
            reward = float(said.count("e"))
            trained.rewards.setdefault(step, []).append(reward)
            trained.said.append(said)
            rollouts.append(
                {
                    "group": group,
                    "index": index,
                    "prompt": "The tinsmith",
                    "sequences": [sample],
                    "reward": reward,
                    "components": {"letters": reward},
                    "tags": ["kettles"] if group else ["pots"],
                }
            )
    trained.training.log_rollouts(rollouts, step).result(60)


@pytest.fixture(scope="module")
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


def sign_in(page: Page, stack: LiveStack, path: str = "/sign-in") -> None:
    """Fill in the form by its labels."""
    page.goto(f"{stack.url}{path}")
    page.get_by_label("Name").fill(stack.admin_username)
    page.get_by_label("Password").fill(stack.admin_password)
    page.get_by_role("button", name="Sign in").click()


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


def shown(value: float) -> str:
    """A metric as pages show it: four significant digits."""
    return f"{value:.4g}"


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


def comes(page: Page, found: Callable[[], bool]) -> None:
    """Wait while the page goes on until something is found."""
    for _ in range(PATIENCE_MS // 100):
        if found():
            return
        page.wait_for_timeout(100)
    raise AssertionError("it did not come")


def test_charts_zoom_smooth_and_can_be_taken_home(page: Page, run: Trained) -> None:
    page.goto(f"{run.url}/charts?find=loss")
    chart = page.get_by_role("article", name="loss")
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
    page.wait_for_url(re.compile(r"/charts\?find=loss$"))
    page.mouse.move(5, 5)
    with page.expect_response(re.compile(r"/series\?.*smoothing=0\.9")):
        page.get_by_label("Weight of smoothing").fill("0.9")
    page.get_by_label("log y").check()
    page.get_by_role("radio", name="time").check(force=True)
    page.wait_for_url(re.compile("x=time"))
    page.goto(f"{run.url}/charts?find=loss")
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
