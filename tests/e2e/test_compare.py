"""Two runs compared in a real browser: chosen by keys, their settings, curves and prompts."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

import tinsmith
from tests.conftest import LiveStack
from tests.e2e.browser import PHONE, barriers, overflow
from tests.e2e.trained import BASE_MODEL, Trained

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
PROMPTS = 8


@pytest.fixture(scope="module")
def pair(run: Trained) -> list[tinsmith.TrainingClient]:
    """Two runs that differ in rank and in what their program said, and were asked the same."""
    runs = []
    for place, name in enumerate(("low", "high")):
        training = run.service.create_lora_training_client(
            BASE_MODEL, rank=4 + 4 * place, user_metadata={"name": name, "lr": f"{place + 1}e-4"}
        )
        for step in range(6):
            training.log({"reward": 0.1 * step + 0.3 * place, "loss": 2.0 - 0.1 * step}, step)
        if place:
            training.log({"only/high": 1.0}, 0)
        rollouts = [
            {
                "group": group,
                "prompt": f"What is {group} + {group}?",
                "completion": f"{name} says {2 * group}",
                "reward": 0.1 * (group % 3) + 0.5 * place,
            }
            for group in range(PROMPTS)
        ]
        training.log_rollouts(rollouts, 0).result(60)
        runs.append(training)
    return runs


def address(stack: LiveStack, pair: list[tinsmith.TrainingClient]) -> str:
    """The page that compares both."""
    return f"{stack.url}/compare?runs={','.join(one.model_id for one in pair)}"


def test_runs_are_chosen_by_keys_and_compared(
    page: Page, live_stack: LiveStack, pair: list[tinsmith.TrainingClient]
) -> None:
    page.goto(live_stack.url)
    expect(page.get_by_label("Choose high to compare")).to_be_visible()
    for key in ("j", "x", "j", "x", "c"):
        page.keyboard.press(key)
    page.wait_for_url(re.compile(r"/compare\?runs="))
    expect(page.get_by_role("heading", name="Compare 2 runs")).to_be_visible()
    settings = page.get_by_role("region", name="Settings of the runs")
    expect(settings.get_by_role("row").filter(has_text="rank")).to_contain_text("8")
    expect(settings).to_contain_text("metadata: lr")
    expect(settings).not_to_contain_text("base model")
    page.get_by_label(re.compile("^all ")).check()
    expect(settings).to_contain_text("base model")


def test_curves_share_a_cursor_and_what_is_missing_is_said(
    page: Page, live_stack: LiveStack, pair: list[tinsmith.TrainingClient]
) -> None:
    page.goto(address(live_stack, pair))
    chart = page.get_by_role("article", name="reward")
    expect(chart.locator(".readout")).to_contain_text("A 0.5  B 0.8")
    expect(page.get_by_role("article", name="only/high")).to_contain_text("A has no such metric.")
    canvas = chart.locator(".u-over")
    box = canvas.bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 2, box["y"] + 20)
    expect(chart.locator(".readout")).to_contain_text("step 0  A 0  B 0.3")
    other = page.get_by_role("article", name="loss")
    expect(other.locator(".readout")).to_contain_text("step 0  A 2  B 2")
    page.mouse.move(5, 5)
    difference = page.locator(".differences").inner_text()
    page.get_by_label("curve of B").uncheck()
    expect(chart.locator(".readout")).to_have_text("A 0.5")
    page.wait_for_url(re.compile("hide="))
    assert page.locator(".differences").inner_text() == difference


def test_matched_prompts_say_what_the_difference_is_worth(
    page: Page, live_stack: LiveStack, pair: list[tinsmith.TrainingClient]
) -> None:
    page.goto(address(live_stack, pair))
    expect(page.locator(".differences")).to_contain_text(
        f"B − A = +0.5, 95 % 0.5 … 0.5, {PROMPTS} prompts"
    )
    page.get_by_role("button", name="What is 3 + 3?").click()
    expect(page.get_by_role("region", name="Answers of A")).to_contain_text("low says 6")
    expect(page.get_by_role("region", name="Answers of B")).to_contain_text("high says 6")
    page.wait_for_url(re.compile("p="))
    page.reload()
    expect(page.get_by_role("region", name="Answers of B")).to_contain_text("high says 6")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(
    page: Page, live_stack: LiveStack, pair: list[tinsmith.TrainingClient], scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(address(live_stack, pair))
    page.get_by_role("button", name="What is 3 + 3?").click()
    expect(page.get_by_role("region", name="Answers of B")).to_contain_text("high says 6")
    expect(page.get_by_role("article", name="reward").locator("canvas")).to_be_visible()
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    assert barriers(page) == []
    page.goto(f"{live_stack.url}/compare?runs={pair[0].model_id},nowhere")
    expect(page.get_by_role("alert")).to_be_visible()
    page.goto(f"{live_stack.url}/compare")
    expect(page.get_by_role("heading", name="Compare runs")).to_be_visible()
    assert barriers(page) == []
