"""The page of batches in a real browser: what a run was trained on, read token by token."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

import tinsmith
from tests.conftest import LiveStack
from tests.e2e.browser import PHONE, barriers, overflow
from tests.e2e.trained import BASE_MODEL, STEPS, Trained, comes, shown
from tinsmith import AdamParams, Datum

PROMPT = "<|im_start|>user\nWho mends the kettle?<|im_end|>\n<|im_start|>assistant\n"
ANSWERS = ["The tinsmith.<|im_end|>", "Nobody does.<|im_end|>", "The tinsmith"]

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]


@dataclass
class Silent:
    """Runs whose programs log nothing: on chats, on rollouts, on pairs."""

    chats: tinsmith.TrainingClient
    policy: tinsmith.TrainingClient
    pairs: tinsmith.TrainingClient
    prompt: list[int]
    answers: list[list[int]]


@pytest.fixture(scope="module")
def silent(live_stack: LiveStack, run: Trained) -> Iterator[Silent]:
    """Each of them has trained a step or two."""
    with tinsmith.ServiceClient(base_url=live_stack.url, api_key=live_stack.api_key) as service:
        chats, policy, pairs = (
            service.create_lora_training_client(BASE_MODEL, rank=4, user_metadata={"name": name})
            for name in ("chats", "policy", "pairs")
        )
        tokenizer = chats.get_tokenizer()
        prompt = tokenizer.encode(PROMPT)
        made = Silent(chats, policy, pairs, prompt, [tokenizer.encode(one) for one in ANSWERS])
        first, second, open_end = (chat(prompt, answer) for answer in made.answers)
        for data in ([first, first, open_end, chat(prompt, [], weight=0.0)], [second]):
            step(chats, data, "cross_entropy")
        earned = [0.75, -0.25, -0.5]
        rollouts = [rollout(prompt, *one) for one in zip(made.answers, earned, strict=True)]
        step(policy, [*rollouts, rollout(prompt[3:], made.answers[0], 0.0)], "importance_sampling")
        step(pairs, [first, second], "dpo")
        yield made


def step(training: tinsmith.TrainingClient, data: list[Datum], loss_fn: str) -> None:
    """One step, awaited."""
    passed = training.forward_backward(data, loss_fn)
    stepped = training.optim_step(AdamParams(learning_rate=2e-3))
    passed.result(60)
    stepped.result(60)


def chat(prompt: list[int], answer: list[int], weight: float = 1.0) -> Datum:
    """A prompt that is not trained, and an answer that is."""
    weights = [0.0] * len(prompt) + [weight] * len(answer)
    return Datum.from_tokens([*prompt, *answer], weights=weights)


def rollout(prompt: list[int], answer: list[int], advantage: float) -> Datum:
    """An answer as if it had been sampled, each token with a probability of 1/e."""
    before = [0.0] * (len(prompt) - 1)
    return Datum.from_tokens(
        [*prompt, *answer][:-1],
        [*prompt, *answer][1:],
        logprobs=[*before, *(-1.0 for _ in answer)],
        advantages=[*before, *(advantage for _ in answer)],
    )


def address(live_stack: LiveStack, training: tinsmith.TrainingClient, rest: str = "") -> str:
    """Where a run's batches are."""
    return f"{live_stack.url}/runs/{training.model_id}/batches{rest}"


def coloured(page: Page, *names: str) -> int:
    """How many characters are marked under these names."""
    count = """names => names.flatMap(name => [...(CSS.highlights.get(name) ?? [])])
        .reduce((sum, range) => sum + range.toString().length, 0)"""
    return int(page.evaluate(count, list(names)))


def test_a_run_that_was_captured_by_itself_is_read_step_by_step(page: Page, run: Trained) -> None:
    page.goto(run.url)
    expect(page.get_by_role("heading", name="First batch")).to_be_visible()
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.wait_for_url(f"{run.url}/batches")
    expect(page.get_by_text(f"Step {STEPS - 1}", exact=True)).to_be_visible()
    datum = page.get_by_role("article", name="Datum 0")
    expect(datum).to_contain_text(f"seen {STEPS}×")
    expect(datum).to_contain_text("No end token is trained")
    expect(datum.locator("pre")).to_have_text("The tinsmith mends the kettle.")
    tokens = len(run.training.get_tokenizer().encode("The tinsmith mends the kettle."))
    expect(page.locator(".step-head")).to_contain_text(f"1 datum · {tokens - 1} tokens · 100 %")
    page.keyboard.press("[")
    page.wait_for_url(re.compile(f"step={STEPS - 2}"))
    # the loss that the program was told, times the tokens
    loss = run.losses[-2]
    expect(datum).to_contain_text(re.compile(rf"loss ({shown(loss)}|{shown(loss / (tokens - 1))})"))
    page.keyboard.press("]")
    page.wait_for_url(f"{run.url}/batches")


def test_what_is_odd_about_a_step_is_said(
    page: Page, live_stack: LiveStack, silent: Silent
) -> None:
    page.goto(address(live_stack, silent.chats, "?step=0"))
    expect(page.get_by_text("1 of 4 datums has no trained token")).to_be_visible()
    expect(page.get_by_text("One datum is here twice")).to_be_visible()
    rows = page.get_by_label("Datums of the step").get_by_role("button")
    expect(rows).to_have_count(4)
    datum = page.get_by_role("article", name="Datum 0")
    tokens = len(silent.prompt) + len(silent.answers[0]) - 1
    expect(datum.locator(".trained-line")).to_have_text(
        f"trained {len(silent.answers[0])} of {tokens} tokens: "
        "begins after «…assistant\\n», ends with «<|im_end|>»."
    )
    expect(datum.get_by_text("No end token is trained")).to_have_count(0)
    page.keyboard.press("j")
    page.keyboard.press("j")
    opened = page.get_by_role("article", name="Datum 2")
    expect(opened.get_by_text("No end token is trained")).to_be_visible()
    page.keyboard.press("j")
    last = page.get_by_role("article", name="Datum 3")
    expect(last.get_by_text("No token is trained: it taught nothing.")).to_be_visible()
    page.keyboard.press("k")
    expect(opened).to_be_visible()
    page.get_by_role("radio", name="loss").check(force=True)
    page.wait_for_url(re.compile("order=loss"))
    expect(rows.last).to_contain_text("not trained")


def test_tokens_are_coloured_in_one_text_and_told_one_by_one(
    page: Page, live_stack: LiveStack, silent: Silent
) -> None:
    page.goto(address(live_stack, silent.chats, "?step=0"))
    text = page.get_by_label("Text of datum 0, token by token with the arrow keys")
    expect(text).to_have_text(PROMPT + ANSWERS[0])
    assert text.locator("pre > *").count() == 0
    comes(page, lambda: coloured(page, "untrained") == len(PROMPT))
    assert coloured(page, *(f"surprise-{number}" for number in range(1, 6))) > 0
    assert coloured(page, "special") == len("<|im_start|><|im_end|><|im_start|><|im_end|>")
    expect(page.get_by_label("Colours: surprise")).to_contain_text("from 5")
    page.keyboard.press("5")
    page.wait_for_url(re.compile("sig=trained"))
    comes(page, lambda: coloured(page, "plus-2") == len(ANSWERS[0]))
    page.keyboard.press("0")
    comes(page, lambda: coloured(page, "plus-2") == 0)
    page.keyboard.press("2")
    expect(page.get_by_text("Of this datum's tokens no δ logprob is known")).to_be_visible()
    text.focus()
    page.keyboard.press("ArrowRight")
    spoken = page.get_by_role("status").filter(has_text="special token")
    expect(spoken).to_have_text("“<|im_start|>”, special token, not trained, token 0")
    table = page.get_by_role("region", name="Least expected tokens")
    table.get_by_role("button").first.click()
    expect(page.locator(".token-readout")).to_contain_text("surprise")
    box = text.locator("pre").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 4, box["y"] + 18)
    expect(page.locator(".token-readout")).to_contain_text("token 0")


def test_rollouts_of_a_prompt_stand_beside_each_other(
    page: Page, live_stack: LiveStack, silent: Silent
) -> None:
    page.goto(address(live_stack, silent.policy))
    expect(page.get_by_text("The advantages of 1 of 4 datums are zero")).to_be_visible()
    siblings = page.get_by_label("Datums of the same prompt").get_by_role("button")
    expect(siblings).to_have_text([re.compile(r"\+0\.75"), re.compile("−0.25"), re.compile("−0.5")])
    siblings.nth(2).click()
    datum = page.get_by_role("article", name="Datum 2")
    expect(datum).to_contain_text("advantage −0.5")
    page.keyboard.press("3")
    comes(page, lambda: coloured(page, "minus-2") == len(ANSWERS[2]))
    page.keyboard.press("2")
    expect(page.get_by_label("Colours: logprob under the run")).to_be_visible()


def test_chosen_and_rejected_are_read_together(
    page: Page, live_stack: LiveStack, silent: Silent
) -> None:
    page.goto(address(live_stack, silent.pairs))
    chosen = page.get_by_role("article", name="Chosen")
    expect(chosen.locator("pre")).to_have_text(PROMPT + ANSWERS[0])
    expect(page.get_by_role("article", name="Rejected").locator("pre")).to_have_text(
        PROMPT + ANSWERS[1]
    )
    page.keyboard.press("j")
    page.wait_for_url(re.compile(r"d=\d+"))
    expect(chosen).to_be_visible()


def test_a_run_that_logs_nothing_looks_good(
    page: Page, live_stack: LiveStack, silent: Silent
) -> None:
    page.goto(f"{live_stack.url}/runs/{silent.chats.model_id}")
    first = page.get_by_label("First batch")
    expect(first).to_contain_text(f"trained {len(silent.answers[0])} of")
    expect(
        page.get_by_label("Latest metrics").get_by_role("link", name="Loss a trained token")
    ).to_be_visible()
    first.get_by_role("link", name="all of the step").click()
    page.wait_for_url(re.compile(r"/batches\?step=0"))
    page.get_by_role("link", name="Charts").click()
    expect(page.get_by_role("heading", name="Engine")).to_be_visible()
    expect(page.get_by_role("article", name="engine/grad_norm")).to_contain_text("Gradient norm")
    page.get_by_role("link", name="Rollouts").click()
    expect(page.get_by_role("heading", name="No rollouts")).to_be_visible()
    page.get_by_role("link", name="Batches").last.click()
    page.wait_for_url(re.compile("/batches"))


def test_the_memory_map_tells_what_became_of_examples(page: Page, run: Trained) -> None:
    page.goto(f"{run.url}/batches")
    page.get_by_role("radio", name="Memory map").check(force=True)
    page.wait_for_url(re.compile("view=map"))
    picture = page.get_by_role("img", name="1 example: 0 never learnt")
    expect(picture).to_be_visible()
    row = page.get_by_role("region", name="Examples").get_by_role("row").last
    expect(row).to_contain_text(f"{STEPS}×")
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the list as JSON lines").click()
    (saved,) = (json.loads(line) for line in download.value.path().read_text().splitlines())
    assert (saved["seen"], saved["step"]) == (STEPS, STEPS - 1)
    assert saved["fate"] in {"learnt", "heart"}
    assert barriers(page) == []
    row.get_by_role("button").click()
    page.wait_for_url(re.compile(rf"step={STEPS - 1}&d={saved['datum']}"))
    expect(page.get_by_role("article", name="Datum 0")).to_be_visible()


def test_nothing_was_trained_on_yet(page: Page, live_stack: LiveStack, run: Trained) -> None:
    training = run.service.create_lora_training_client(BASE_MODEL, rank=4)
    page.goto(address(live_stack, training))
    expect(page.get_by_role("heading", name="Nothing trained on yet")).to_be_visible()
    page.goto(f"{live_stack.url}/runs/{training.model_id}")
    expect(page.get_by_label("First batch")).to_have_count(0)


def test_texts_that_are_switched_off_are_said_not_to_be_kept(
    page: Page, live_stack: LiveStack, run: Trained
) -> None:
    training = run.service.create_lora_training_client(
        BASE_MODEL, rank=4, user_metadata={"capture": "off"}
    )
    step(training, [Datum.from_tokens([40, 41, 42, 43])], "cross_entropy")
    page.goto(address(live_stack, training))
    expect(page.get_by_text("The tokens of this datum are not kept")).to_be_visible()
    expect(page.get_by_role("article", name="Datum 0")).to_contain_text("trained 3 of 3 tokens")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["chats", "policy", "pairs"])
def test_everybody_can_read_batches(
    page: Page, live_stack: LiveStack, silent: Silent, kind: str, scheme: str
) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(address(live_stack, getattr(silent, kind), "?step=0"))
    expect(page.get_by_role("article").first.locator("pre")).to_be_visible()
    assert barriers(page) == []
    page.set_viewport_size(PHONE)
    expect(page.get_by_role("article").first.locator("pre")).to_be_visible()
    assert overflow(page) <= 0
    assert barriers(page) == []
