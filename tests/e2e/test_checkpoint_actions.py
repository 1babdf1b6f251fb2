"""What is done to checkpoints in a real browser: by pointer and by keys, seen by others at once."""

from __future__ import annotations

import re
import tarfile

import pytest
from playwright.sync_api import BrowserContext, Locator, Page, expect

import tinsmith
from tests.conftest import LiveStack
from tests.e2e.browser import PHONE, barriers, overflow
from tests.e2e.trained import BASE_MODEL, Trained
from tinsmith import AdamParams, Datum

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]
REWARDS = [0.1, 0.9, 0.3, 0.8, 0.7, 0.2]


@pytest.fixture(scope="module")
def saves(run: Trained) -> tinsmith.TrainingClient:
    """A run that has saved after each of its steps."""
    training = run.service.create_lora_training_client(
        BASE_MODEL, rank=4, user_metadata={"name": "saves"}
    )
    text = training.get_tokenizer().encode("The tinsmith mends the kettle.")
    for step, reward in enumerate(REWARDS):
        training.forward_backward([Datum.from_tokens(text)], "cross_entropy")
        training.optim_step(AdamParams(learning_rate=1e-3))
        training.log({"reward": reward}, step).result(60)
        training.save_state(f"step-{step}").result(60)
    return training


def address(saves: tinsmith.TrainingClient) -> str:
    """The page of the run's checkpoints."""
    return f"{saves.get_console_url()}/checkpoints"


def row(page: Page, name: str) -> Locator:
    """A checkpoint's row."""
    return page.locator("tr").filter(has=page.get_by_label(f"Choose {name}, weights"))


def test_the_best_and_the_last_stay_and_a_deletion_is_undone(
    page: Page, context: BrowserContext, saves: tinsmith.TrainingClient
) -> None:
    onlooker = context.new_page()
    onlooker.goto(address(saves))
    page.goto(address(saves))
    expect(page.locator("tbody tr")).to_have_count(6)
    expect(onlooker.locator("tbody tr")).to_have_count(6)
    expect(row(page, "step-3")).to_contain_text("0.8")
    page.get_by_role("button", name="Keep best 3 + last").click()
    chosen = [f"step-{at}" for at in (0, 2)]
    for name in chosen:
        expect(page.get_by_label(f"Choose {name}, weights")).to_be_checked()
    expect(page.get_by_text("2 chosen")).to_be_visible()
    page.get_by_role("button", name="Delete 2: frees").click()
    expect(page.get_by_role("status")).to_contain_text("Deleted 2 checkpoints: frees")
    expect(page.locator("tbody tr")).to_have_count(4)
    # who only looks on sees it without asking
    expect(onlooker.locator("tbody tr")).to_have_count(4)
    expect(onlooker.get_by_role("button", name="Bring back step-2, weights")).to_be_visible()
    path = f"tinker://{saves.model_id}/weights/step-2"
    with pytest.raises(tinsmith.TinsmithError, match="there is no checkpoint"):
        saves.load_state(path).result(60)
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("tbody tr")).to_have_count(6)
    expect(onlooker.locator("tbody tr")).to_have_count(6)
    saves.load_state(path).result(60)
    onlooker.close()


def test_keys_choose_publish_and_delete(page: Page, saves: tinsmith.TrainingClient) -> None:
    page.goto(address(saves))
    expect(page.locator("tbody tr")).to_have_count(6)
    page.keyboard.press("j")
    page.keyboard.press("x")
    expect(page.get_by_label("Choose step-5, weights")).to_be_checked()
    page.keyboard.press("p")
    expect(row(page, "step-5")).to_contain_text("public")
    page.keyboard.press("p")
    expect(page.get_by_role("status")).to_contain_text("Unpublished 1 checkpoint")
    page.keyboard.press("d")
    expect(page.locator("tbody tr")).to_have_count(5)
    page.get_by_role("button", name="Bring back step-5, weights").click()
    expect(page.locator("tbody tr")).to_have_count(6)


def test_the_menu_downloads_copies_and_says_how_long_to_keep(
    page: Page, saves: tinsmith.TrainingClient
) -> None:
    page.goto(address(saves))
    more = page.get_by_role("button", name="More of step-1, weights")
    more.click()
    with page.expect_download() as download:
        page.get_by_role("menuitem", name="Download").click()
    assert download.value.suggested_filename == "step-1-weights.tar"
    with tarfile.open(download.value.path()) as opened:
        assert "adapter_model.safetensors" in opened.getnames()
    for item, words in (
        ("Copy address", f"tinker://{saves.model_id}/weights/step-1"),
        ("Copy command", "tinsmith checkpoints download tinker://"),
        ("Copy as Python", "create_training_client_from_state_with_optimizer"),
    ):
        more.click()
        page.get_by_role("menuitem", name=item).click()
        expect(page.get_by_role("status")).to_contain_text("Copied")
        assert words in page.evaluate("navigator.clipboard.readText()")
    more.click()
    page.get_by_role("menuitem", name="Keep 7 days from now").click()
    expect(row(page, "step-1")).to_contain_text("7 d more")
    more.click()
    page.get_by_role("menuitem", name="Keep until deleted").click()
    expect(row(page, "step-1")).to_contain_text("until deleted")


def test_lineage_is_a_picture_that_keys_walk_through_and_a_table(
    page: Page, run: Trained, saves: tinsmith.TrainingClient
) -> None:
    path = f"tinker://{saves.model_id}/weights/step-1"
    child = run.service.create_training_client_from_state(
        path, user_metadata={"name": "grandchild"}
    )
    child.get_info()
    page.goto(f"{child.get_console_url()}/checkpoints?view=lineage")
    table = page.get_by_role("table", name="Lineage as a table")
    row = table.get_by_role("row").filter(has_text="grandchild")
    expect(row).to_contain_text("saves / step-1")
    expect(row).to_contain_text("made from, without the optimizer's state")
    page.get_by_role("link", name="Base model tinsmith/nano-qwen3").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    focused = page.locator("a:focus")
    expect(focused).to_have_attribute("aria-label", "Checkpoint step-0, step 0")
    page.keyboard.press("ArrowDown")
    expect(focused).to_have_attribute("aria-label", re.compile("^Run grandchild"))
    page.keyboard.press("Enter")
    page.wait_for_url(child.get_console_url())
    page.go_back()
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        expect(table).to_be_visible()
        assert barriers(page) == []
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(
    page: Page, live_stack: LiveStack, saves: tinsmith.TrainingClient, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(address(saves))
    page.get_by_label("Choose step-4, weights").check()
    page.get_by_role("button", name="Delete 1: frees").click()
    page.get_by_role("button", name="Bring back step-4, weights").wait_for()
    page.get_by_label("Choose step-0, weights").check()
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    assert overflow(page) <= 0
    assert barriers(page) == []
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_role("button", name="Bring back step-4, weights")).to_have_count(0)
    page.goto(f"{live_stack.url}/checkpoints")
    expect(page.get_by_label("Choose step-4, weights")).to_be_visible()
    assert overflow(page) <= 0
    assert barriers(page) == []
