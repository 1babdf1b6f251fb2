"""Pairs of answers as tokens and datums, and the losses that are computed here."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import pytest

from tests.support.chats import nano
from tinsmith import renderers
from tinsmith.data import Preference
from tinsmith_recipes.training.preference import (
    DPO,
    Pair,
    Reference,
    answer_data,
    check_pairs,
    dpo_gradient,
    preferred,
    scored_data,
    tokenized,
    win_rate,
)

ASKED = [{"role": "user", "content": "Hi"}]
PAIR = Pair((5, 6, 7), (8, 9), (3,))


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize("model", ["nano-qwen3", "nano-llama3"])
def test_an_answer_begins_after_the_prompt_and_ends_with_its_turn(model: str) -> None:
    renderer = renderers.for_model(f"tinsmith/{model}", nano(model))
    pair = Pair.of(Preference(ASKED, said("Yes"), said("No, no")), renderer)
    assert list(pair.prompt) == renderer.prompt(ASKED).to_ints()
    for tokens, text in zip(pair.answers, ("Yes", "No, no"), strict=True):
        parsed = renderer.parse(tokens)
        assert (parsed.message["content"], parsed.ending) == (text, renderers.Ending.STOP)
    assert pair.longest == len(pair.prompt) + len(pair.rejected)
    assert pair.tokens == 2 * len(pair.prompt) + len(pair.chosen) + len(pair.rejected)


def test_what_is_too_long_or_the_same_is_left_out_with_its_reason() -> None:
    renderer = renderers.for_model("tinsmith/nano-qwen3", nano("nano-qwen3"))
    good = Preference(ASKED, said("Yes"), said("No"))
    some = [good, Preference(ASKED, said("Yes" * 30), said("No")), good._replace(rejected=good[1])]
    pairs, left_out = tokenized(some, renderer, longest=40)
    assert pairs == [Pair.of(good, renderer)]
    too_long = Pair.of(some[1], renderer).longest
    assert left_out == [
        f"prompt and answer are {too_long} tokens",
        "chosen and rejected are the same tokens",
    ]


def test_no_pairs_and_pairs_of_one_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="there are no pairs"):
        check_pairs([])
    with pytest.raises(ValueError, match="3 pairs, and all are one and the same"):
        check_pairs([PAIR] * 3)
    check_pairs([PAIR, Pair((5, 6, 7), (3,), (8, 9))])


def test_datums_weigh_the_answers_and_nothing_else() -> None:
    chosen, rejected = answer_data([PAIR])
    assert chosen.model_input.to_ints() == [5, 6, 7, 8]
    assert chosen.loss_fn_inputs["target_tokens"].tolist() == [6, 7, 8, 9]
    assert chosen.loss_fn_inputs["weights"].tolist() == [0, 0, 1, 1]
    assert rejected.loss_fn_inputs["target_tokens"].tolist() == [6, 7, 3]
    assert rejected.loss_fn_inputs["weights"].tolist() == [0, 0, 1]
    assert "logprobs" not in chosen.loss_fn_inputs


def test_datums_take_reference_logprobs_and_weights_by_the_answer() -> None:
    logprobs = [np.array([-0.5, -0.25]), np.array([-2.0])]
    chosen, rejected = answer_data([PAIR], logprobs, weights=[0.5, -0.5])
    assert chosen.loss_fn_inputs["logprobs"].tolist() == [0, 0, -0.5, -0.25]
    assert rejected.loss_fn_inputs["logprobs"].tolist() == [0, 0, -2]
    assert chosen.loss_fn_inputs["weights"].tolist() == [0, 0, 0.5, 0.5]
    assert rejected.loss_fn_inputs["weights"].tolist() == [0, 0, -0.5]


def test_scored_datums_are_those_of_the_client() -> None:
    chosen, rejected = scored_data([PAIR])
    assert chosen.model_input.to_ints() == [5, 6, 7, 8, 9]
    assert rejected.model_input.to_ints() == [5, 6, 7, 3]
    assert chosen.loss_fn_inputs["weights"].tolist()[-1] == [1, -1]


def test_the_loss_of_a_hand_worked_pair() -> None:
    # rewards: beta (log 3 + 1) with chosen and beta 1 with rejected, so a margin of log 3 / 2
    beta, log_3 = 0.5, math.log(3)
    ours = [np.array([-9.0, -9.0, -1.0, -1.0 + log_3]), np.array([-9.0, -9.0, -3.0])]
    reference = [np.array([-1.5, -1.5]), np.array([-4.0])]
    weights, metrics = dpo_gradient([PAIR], ours, reference, beta)
    odds = math.sqrt(3)  # of preferring the chosen answer: exp(margin)
    assert weights == pytest.approx([beta / (1 + odds), -beta / (1 + odds)])
    assert metrics == pytest.approx(
        {
            "num_pairs": 1,
            "dpo_loss": math.log(1 + 1 / odds),
            "accuracy": 1,
            "margin": log_3 / 2,
            "chosen_reward": (1 + log_3) / 2,
            "rejected_reward": 0.5,
        }
    )


def test_a_model_that_is_its_reference_has_no_preference() -> None:
    ours = [np.array([-9.0, -9.0, -1.0, -2.0]), np.array([-9.0, -9.0, -3.0])]
    weights, metrics = dpo_gradient([PAIR], ours, [ours[0][2:], ours[1][2:]], 0.1)
    assert weights == pytest.approx([0.05, -0.05])
    assert metrics["dpo_loss"] == pytest.approx(math.log(2))
    assert (metrics["margin"], metrics["accuracy"]) == (0, 0)


def test_the_weights_are_the_losses_gradient() -> None:
    random = np.random.default_rng(0)
    pairs = [PAIR, Pair((1, 2), (3, 4, 5), (6, 7))]
    lengths = [4, 3, 4, 3]
    ours = [random.normal(-2, 1, length) for length in lengths]
    reference = [random.normal(-2, 1, len(one)) for pair in pairs for one in pair.answers]
    weights, _ = dpo_gradient(pairs, ours, reference, 0.7)

    def loss() -> float:
        return 2 * dpo_gradient(pairs, ours, reference, 0.7)[1]["dpo_loss"]  # a sum of two pairs

    for number, array in enumerate(ours):
        slopes = []
        for delta in (1e-5, -1e-5):
            array[-1] += delta
            slopes.append(loss())
            array[-1] -= delta
        assert -(slopes[0] - slopes[1]) / 2e-5 == pytest.approx(weights[number], abs=1e-6)
        array[0] += 1.0  # the prompt's first target, which is in no answer
        assert loss() == pytest.approx(sum(slopes) / 2, abs=1e-6)


def test_margins_far_away_neither_overflow_nor_vanish_into_nan() -> None:
    far = [np.full(4, -1e4), np.full(3, 0.0)]
    weights, metrics = dpo_gradient([PAIR], far, [np.zeros(2), np.zeros(1)], 0.1)
    assert weights == pytest.approx([0.1, -0.1])
    assert metrics["dpo_loss"] == pytest.approx(2000)


class Recorded:
    """A training client that only writes down what is handed in, and its own result."""

    metrics: ClassVar[dict[str, float]] = {
        "loss:sum": 3.0,
        "dpo_loss:mean": 1.5,
        "num_pairs:sum": 2,
    }

    def forward_backward(self, data: Any, loss_fn: str, config: Any = None) -> Any:
        self.handed_in = data, loss_fn, config

        async def passed() -> Recorded:
            return self

        return passed()


async def test_a_reference_is_the_base_model_an_address_or_logprobs() -> None:
    training = Recorded()
    for reference, settings in ((None, {}), ("tinker://r", {"dpo_reference": "tinker://r"})):
        metrics = await DPO(0.2, reference)(training, [PAIR])  # type: ignore[arg-type]
        data, loss_fn, config = training.handed_in
        assert (loss_fn, config) == ("dpo", {"dpo_beta": 0.2, **settings})
        assert not any("logprobs" in datum.loss_fn_inputs for datum in data)
        assert await metrics == {"dpo_loss": 1.5, "num_pairs": 2}
    given = Known([[-0.5, -0.25], [-2.0]])
    metrics = await DPO(0.2, Reference(given))(training, [PAIR])  # type: ignore[arg-type]
    data, _, config = training.handed_in
    assert config == {"dpo_beta": 0.2}
    assert [datum.loss_fn_inputs["logprobs"].tolist()[2:] for datum in data] == given.answers
    assert await metrics == {"dpo_loss": 1.5, "num_pairs": 2}
    with pytest.raises(ValueError, match="needs the logprobs of a Reference"):
        await DPO(0.2, None, "client")(training, [PAIR])  # type: ignore[arg-type]


class Known:
    """A sampler that knows two answers."""

    def __init__(self, answers: list[list[float]]) -> None:
        self.answers = answers

    async def compute_logprobs(self, prompt: Any, prompt_logprobs_last_n: int) -> list[Any]:
        (found,) = (one for one in self.answers if len(one) == prompt_logprobs_last_n)
        return [*[None] * (prompt.length - len(found)), *found]


def test_ties_are_no_preference_and_half_a_win() -> None:
    assert preferred([(2, 1), (1, 1), (0, 1), (5, -5)]).value == 0.5
    assert win_rate([2, 1, 1, 0], [1, 1, 0, 1]).value == 0.625
    with pytest.raises(ValueError, match="no cases"):
        win_rate([], [])
