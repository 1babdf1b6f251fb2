"""What a teacher's probabilities and judgements become, in numbers worked out by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from tests.support.chats import nano
from tinsmith import renderers
from tinsmith_recipes.training import Run
from tinsmith_recipes.training.distillation import (
    Guidance,
    SoftTargets,
    Teacher,
    check_same_tokens,
    gap_closed,
    soft_datum,
)
from tinsmith_recipes.training.distillation.on_policy import guide
from tinsmith_recipes.training.figures import share
from tinsmith_recipes.training.rl.data import Stretch
from tinsmith_recipes.training.supervised import losses_of

QUESTION = [{"role": "user", "content": "Say 'tin'."}]
CHAT = [*QUESTION, {"role": "assistant", "content": "tin"}]
TARGETS = np.array([[7, 8], [9, 1]])
WEIGHTS = np.array([[0.75, 0.25], [0.5, 0.0]])


def run_of(model: str) -> Run:
    """As much of a run as a teacher asks for: the student's name, tokenizer and renderer."""
    tokenizer = nano(model)
    name = f"tinsmith/{model}"
    found = SimpleNamespace(
        tokenizer=tokenizer,
        renderer=renderers.for_model(name, tokenizer),
        recipe=SimpleNamespace(base_model=name),
    )
    return cast(Run, found)


def teacher_of(model: str, prompt: tuple[dict[str, str], ...] = ()) -> Teacher:
    run = run_of(model)
    return Teacher(f"tinsmith/{model}", cast(Any, None), run.renderer, run.tokenizer, prompt)


@pytest.mark.parametrize("sparse", [True, False])
def test_soft_targets_stand_where_their_token_is_predicted(sparse: bool) -> None:
    datum = soft_datum([5, 6, 7, 9], [2, 3], TARGETS, WEIGHTS, sparse=sparse)
    assert datum.model_input.to_ints() == [5, 6, 7]
    assert datum.loss_fn_inputs["target_tokens"].tolist() == [[0, 0], [7, 8], [9, 1]]
    assert datum.loss_fn_inputs["weights"].tolist() == [[0, 0], [0.75, 0.25], [0.5, 0]]
    listed = datum.loss_fn_inputs["weights"].sparse_crow_indices
    assert listed == ([0, 0, 2, 4] if sparse else None)


@pytest.mark.parametrize(
    ("places", "targets", "reason"),
    [
        ([0, 2], TARGETS, "places must rise from 1 to 3"),
        ([2, 4], TARGETS, "places must rise from 1 to 3"),
        ([3, 2], TARGETS, "places must rise from 1 to 3"),
        ([1, 2, 3], TARGETS, r"must be \[3, K\]"),
        ([1, 2], TARGETS[:, :1], r"must be \[2, K\]"),
    ],
)
def test_soft_targets_that_fit_nowhere_are_refused(
    places: list[int], targets: np.ndarray[Any, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        soft_datum([5, 6, 7, 9], places, targets, WEIGHTS)


def test_the_loss_of_soft_targets_is_a_cross_entropy_and_its_kl() -> None:
    datum = soft_datum([5, 6, 7, 9], [2, 3], TARGETS, WEIGHTS)
    logprobs = np.log(np.array([[0.9, 0.9], [0.5, 0.5], [0.25, 0.9]]))
    found = losses_of([datum], [logprobs])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert found["train_mean_nll"] == pytest.approx((math.log(2) + math.log(4)) / 2)
    assert found["teacher_kl"] == pytest.approx((math.log(2) + math.log(4) - entropy) / 2)
    agreeing = np.log(np.array([[0.9, 0.9], [0.75, 0.25], [1.0, 0.9]]))
    assert losses_of([datum], [agreeing])["teacher_kl"] == pytest.approx(0, abs=1e-7)


class Telling:
    """A sampler that finds two tokens of every place likely: 0.6 and 0.2."""

    async def sample(self, prompt: Any, *_: Any, **__: Any) -> Any:
        count = prompt.length
        top = SimpleNamespace(
            token_ids=np.arange(2 * count).reshape(count, 2),
            logprobs=np.tile(np.log([0.6, 0.2]).astype(np.float32), (count, 1)),
        )
        return SimpleNamespace(topk_prompt_logprobs_np=top)


@pytest.mark.parametrize(
    ("renormalise", "reduction", "expected"),
    [
        (True, "sum", [0.75, 0.25]),
        (False, "sum", [0.6, 0.2]),
        (True, "mean", [0.75 / 4, 0.25 / 4]),
    ],
)
async def test_probabilities_are_read_after_the_teachers_own_prompt(
    renormalise: bool, reduction: str, expected: list[float]
) -> None:
    run = run_of("nano-qwen3")
    prompt = ({"role": "system", "content": "Shout."},)
    base = teacher_of("nano-qwen3", prompt)
    teacher = Teacher(base.name, cast(Any, Telling()), base.renderer, base.tokenizer, prompt)
    soft = SoftTargets(run, teacher, 2, renormalise=renormalise, reduction=reduction)
    lesson = soft.lesson(CHAT)
    said = [lesson.tokens[place] for place in lesson.places]
    assert said == [lesson.asked[place] for place in lesson.asked_places]
    assert run.renderer.parse(said).message["content"] == "tin"
    assert len(lesson.asked) > len(lesson.tokens)
    (weighed,) = await soft.ready([CHAT])
    assert weighed.trained == len(said) == 4  # three letters, and the end of the turn
    weights = weighed.datum.loss_fn_inputs["weights"].to_numpy()
    rows = np.flatnonzero(weights.sum(-1))
    assert rows.tolist() == [place - 1 for place in lesson.places]
    assert weights[rows] == pytest.approx(np.tile(expected, (4, 1)))
    targets = weighed.datum.loss_fn_inputs["target_tokens"].to_numpy()[rows]
    assert targets.tolist() == [[2 * place, 2 * place + 1] for place in lesson.asked_places]


def test_a_teacher_of_other_tokens_is_refused_by_both_names() -> None:
    run = run_of("nano-qwen3")
    check_same_tokens(run, teacher_of("nano-qwen3"))
    reason = "tinsmith/nano-llama3 and tinsmith/nano-qwen3 have different tokenizers .token 439"
    with pytest.raises(ValueError, match=reason):
        check_same_tokens(run, teacher_of("nano-llama3"))
    with pytest.raises(ValueError, match="soft_targets=0"):
        SoftTargets(run, teacher_of("nano-llama3"), 4, renormalise=True, reduction="mean")
    with pytest.raises(ValueError, match=reason):
        Guidance(run).ask(QUESTION, teacher_of("nano-llama3"))


def stretch(tokens: list[int], begin: int, logprobs: list[float]) -> Stretch:
    sampled = np.arange(len(tokens)) >= begin
    return Stretch(tokens, np.array([0.0] * begin + logprobs), sampled, np.zeros(len(tokens)))


def test_a_token_is_worth_what_the_teacher_finds_it_likelier() -> None:
    batch = [stretch([1, 2, 3], 1, [-1.0, -2.0]), stretch([1, 4], 1, [-0.5])]
    theirs = [np.array([0.0, -3.0, -0.5]), np.array([0.0, -0.5])]
    assert guide(batch, theirs, 0.5) == {"teacher_kl": pytest.approx((2.0 - 1.5 + 0.0) / 3)}
    assert batch[0].advantages.tolist() == [0, -1.0, 0.75]
    assert batch[1].advantages.tolist() == [0, 0]
    again = [stretch([1, 2, 3], 1, [-1.0, -2.0]), stretch([1, 4], 1, [-0.5])]
    assert guide(again, theirs, 3.0, is_centred=True) == {"teacher_kl": pytest.approx(0.5 / 3)}
    assert again[0].advantages == pytest.approx(np.array([0, -5.5, 5.0]))
    assert again[1].advantages == pytest.approx(np.array([0, 0.5]))


class Hearing:
    """A sampler that finds token t as likely as exp(-t), and keeps what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[int]] = []

    async def compute_logprobs(self, prompt: Any, last: int) -> list[float | None]:
        tokens = prompt.to_ints()
        self.asked.append(tokens)
        return [None] * (len(tokens) - last) + [-float(token) for token in tokens[-last:]]


async def test_each_teacher_judges_what_it_was_asked_about_after_its_own_prompt() -> None:
    run = run_of("nano-qwen3")
    guidance, samplers = Guidance(run, 2.0, is_centred=False), [Hearing(), Hearing()]
    other = [{"role": "user", "content": "Say 'pan'."}]
    shout = {"role": "system", "content": "Shout."}
    for sampler, question, prompt in zip(samplers, (QUESTION, other), ((), (shout,)), strict=True):
        teacher = Teacher("t", cast(Any, sampler), run.renderer, run.tokenizer, prompt)
        guidance.ask(question, teacher)
    prompts = [run.renderer.prompt(question).to_ints() for question in (QUESTION, other)]
    batch = [stretch([*one, 7, 9], len(one), [-1.0, -2.0]) for one in prompts]
    found = await guidance.adjust(batch)
    assert found["teacher_kl"] == pytest.approx((6 + 7) / 2)
    assert batch[0].advantages.tolist()[-3:] == [0, -12, -14]
    theirs = run.renderer.prompt([shout, *other]).to_ints()
    assert samplers[0].asked == [[*prompts[0], 7, 9]]
    assert samplers[1].asked == [[*theirs, 7, 9]]


def test_the_part_of_a_gap_that_is_closed() -> None:
    before, teacher, student = (share([True] * n + [False] * (10 - n)) for n in (2, 7, 6))
    found = gap_closed(before, teacher, student)
    assert found["gap"].value == pytest.approx(0.5)
    assert found["gap_closed"].value == pytest.approx(0.8)
    assert gap_closed(teacher, before, student)["gap_closed"].value == 0
