"""The timeline in a real browser: where a sleeping program's time goes, and looking closer."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Page, expect

import tinsmith
from config import dashboard
from tests.conftest import REPOSITORY, LiveStack
from tests.e2e.browser import PHONE, barriers, overflow
from tests.e2e.trained import comes
from tinsmith import AdamParams, Datum, SamplingParams

BASE_MODEL = "tinsmith/nano-qwen3"
STEPS, PAUSE_S = 6, 0.8

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@dataclass
class Slept:
    """A run whose program slept between its steps, and for how long by its own clock."""

    training: tinsmith.TrainingClient
    url: str
    seconds: float
    tokens: list[int]

    def step(self) -> None:
        """One step, awaited."""
        passed = self.training.forward_backward([Datum.from_tokens(self.tokens)], "cross_entropy")
        stepped = self.training.optim_step(AdamParams(learning_rate=1e-3))
        passed.result(60)
        stepped.result(60)


@pytest.fixture(scope="module")
def run(live_stack: LiveStack) -> Iterator[Slept]:
    """A run that has trained with pauses, and sampled once."""
    if not dashboard.can_build():
        pytest.skip("no Node.js here, hence no dashboard")
    dashboard.install(REPOSITORY / "frontend", for_tests=True)  # axe
    with tinsmith.ServiceClient(base_url=live_stack.url, api_key=live_stack.api_key) as service:
        training = service.create_lora_training_client(
            BASE_MODEL, rank=8, user_metadata={"name": "sleeper"}
        )
        text = training.get_tokenizer().encode("The tinsmith mends the kettle. " * 8)
        made = Slept(training, training.get_console_url(), 0.0, text)
        for _ in range(STEPS):
            made.step()
            began = time.monotonic()
            threading.Event().wait(PAUSE_S)
            made.seconds += time.monotonic() - began
        sampler = training.save_weights_and_get_sampling_client()
        prompt = tinsmith.ModelInput.from_ints(text[:4])
        sampler.sample(prompt, 4, SamplingParams(max_tokens=24)).result(60)
        yield made


def told(page: Page, stack: LiveStack, run: Slept, **params: float) -> Any:
    """What the API tells of the run's time."""
    answer = page.request.get(
        f"{stack.url}/api/console/runs/{run.training.model_id}/timeline", params=params
    )
    assert answer.ok, answer.text()
    return answer.json()


def test_a_program_that_sleeps_is_told_so(page: Page, live_stack: LiveStack, run: Slept) -> None:
    # deliveries are written half a second later
    threading.Event().wait(1.0)
    whole = told(page, live_stack, run)
    steps = [
        one for one in whole["operations"] if one["kind"] in ("forward_backward", "optim_step")
    ]
    assert len(steps) == 2 * STEPS
    first = whole["first"] + min(one["created"] for one in steps)
    # the last pause ends with the request to save
    save = next(one for one in whole["operations"] if one["kind"].startswith("save"))
    found = told(page, live_stack, run, **{"from": first, "to": whole["first"] + save["created"]})
    length = found["last"] - found["first"]
    spent = {one["cause"]: one["seconds"] for one in found["blame"]}
    assert sum(spent.values()) == pytest.approx(length, abs=0.01)
    around = length - (whole["first"] + save["created"] - first)  # a short time is told with more
    assert spent["program"] - around == pytest.approx(run.seconds, rel=0.05, abs=0.15)
    assert spent["unexplained"] < 0.05 * length
    assert spent["others"] < 0.05 * length
    samples = [one for one in whole["operations"] if one["kind"] == "sample"]
    assert len(samples) == 1
    for one in whole["operations"]:
        moments = [one[name] for name in ("created", "claimed", "began", "ended", "finished")]
        assert moments == sorted(moments), one
        assert one["delivered"] is not None or one["kind"] == "create_run"


def test_the_page_says_where_time_goes(page: Page, run: Slept) -> None:
    page.goto(run.url)
    expect(page.get_by_role("heading", name="sleeper", exact=True)).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("q")
    page.wait_for_url("**/timeline")
    bar = page.get_by_label("Causes", exact=True).get_by_role("img")
    expect(bar).to_have_attribute("aria-label", re.compile("Your program"))
    causes = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="Your program"))
    expect(causes).to_contain_text("%")
    expect(page.get_by_label("Now", exact=True)).to_contain_text("What would help")
    expect(page.get_by_role("link", name="Trace for Perfetto")).to_be_visible()
    with page.expect_download() as downloading:
        page.get_by_role("link", name="Trace for Perfetto").click()
    assert "traceEvents" in downloading.value.path().read_text()


def test_keys_and_wheel_look_closer_and_choose(page: Page, run: Slept) -> None:
    page.goto(f"{run.url}/timeline")
    canvas = page.locator("canvas")
    expect(canvas).to_be_visible()
    page.keyboard.press("k")
    page.wait_for_url(re.compile(r"op=\d+"))
    card = page.get_by_label("The chosen operation")
    expect(card).to_contain_text("sample")
    page.keyboard.press("k")
    expect(card).to_contain_text("save_weights_for_sampler")
    page.keyboard.press("Escape")
    expect(card).to_have_count(0)
    page.keyboard.press("+")
    page.wait_for_url(re.compile(r"from=\d+.*to=\d+"))
    before = seen(page)
    page.keyboard.press("ArrowLeft")
    page.wait_for_url(lambda url: f"from={before[0]:.3f}" not in url)
    after = seen(page)
    assert after[1] - after[0] == pytest.approx(before[1] - before[0], abs=0.01)
    canvas.hover(position={"x": 300, "y": 90})
    page.keyboard.down("Control")
    page.mouse.wheel(0, -400)
    page.keyboard.up("Control")
    page.wait_for_url(lambda url: f"from={after[0]:.3f}" not in url)
    closer = seen(page)
    assert closer[1] - closer[0] < after[1] - after[0]
    page.reload()
    expect(canvas).to_be_visible()
    assert seen(page) == closer
    page.keyboard.press("0")
    page.wait_for_url(lambda url: "from=" not in url)
    page.get_by_text("Operations as a table").click()
    page.get_by_role("button", name=re.compile("^optim_step")).first.click()
    expect(card).to_contain_text("optim_step")


def seen(page: Page) -> tuple[float, float]:
    """The time that the address names."""
    found = re.search(r"from=([\d.]+).*to=([\d.]+)", page.url)
    assert found is not None
    return float(found[1]), float(found[2])


def test_what_is_new_comes_by_itself(page: Page, run: Slept) -> None:
    page.goto(f"{run.url}/timeline")
    table = page.get_by_text("Operations as a table")
    expect(table).to_be_visible()
    before = int(re.findall(r"\d+", table.inner_text())[-1])
    run.step()
    expect(table).to_contain_text(str(before + 2))


def test_an_empty_time_says_so(page: Page, live_stack: LiveStack, run: Slept) -> None:
    created = told(page, live_stack, run)["begins"]
    page.goto(f"{run.url}/timeline?from={created - 300:.0f}&to={created - 200:.0f}")
    expect(page.get_by_role("heading", name="No operations in this time")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_read_it(page: Page, run: Slept, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(f"{run.url}/timeline")
    page.get_by_text("Operations as a table").click()
    page.keyboard.press("k")
    expect(page.get_by_label("The chosen operation")).to_be_visible()
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    expect(page.locator("canvas")).to_be_visible()
    comes(page, lambda: overflow(page) <= 0)  # the canvas follows the window
    assert barriers(page) == []
