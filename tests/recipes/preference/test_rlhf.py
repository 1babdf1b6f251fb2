"""What the stages of RLHF say of their answers, and the environment between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tests.support.chats import nano
from tinsmith import ModelInput, renderers
from tinsmith_recipes.preference.kind_words import kindness
from tinsmith_recipes.preference.rlhf.env import Judged
from tinsmith_recipes.preference.rlhf.train import PreferenceRLHF, check_scores, compared
from tinsmith_recipes.training import read
from tinsmith_recipes.training.rl import Outcome

RENDERER = renderers.for_model("tinsmith/nano-qwen3", nano("nano-qwen3"))
END = RENDERER.stop[0]


def answers(*numbers: tuple[float, float]) -> list[dict[str, Any]]:
    return [
        {"score": score, "liking": liking, "place": [place, 0]}
        for place, (score, liking) in enumerate(numbers)
    ]


def test_answers_are_compared_with_those_to_the_same_prompt() -> None:
    was = answers((1.0, 0), (2.0, 1), (3.0, 2), (4.0, 0))
    now = answers((2.0, 1), (2.0, 1), (5.0, 0), (9.0, 2))
    found = compared(was, now[::-1])
    values = {name: figure.value for name, figure in found.items()}
    assert values == {
        "score_before": 2.5,
        "score": 4.5,
        "score_gain": 2.0,
        "score_win_rate": 0.875,
        "liking_before": 0.75,
        "liking": 1.0,
        "win_rate": 0.625,
    }


def test_an_answer_that_failed_before_or_after_is_left_out() -> None:
    was, now = answers((1.0, 0), (2.0, 1), (3.0, 2)), answers((1.5, 0), (9.0, 1), (3.5, 2))
    found = compared([was[0], was[2]], now[:2])
    assert (found["score_gain"].value, found["score_gain"].count) == (0.5, 1)
    for one in (*was, *now):
        del one["liking"]
    assert "win_rate" not in compared(was, now)


def test_a_reward_model_that_tells_nothing_apart_is_refused() -> None:
    check_scores([1.0, 1.0, 1.5])
    with pytest.raises(ValueError, match="gives all 3 answers the same score"):
        check_scores([1.0] * 3)


class Answers:
    """A policy that says what it is told to, as far as its environment sees one."""

    renderer = RENDERER

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens
        self.asked: list[Any] = []

    async def sample(self, prompt: ModelInput, stop: Any) -> Any:
        self.asked.append((prompt.to_ints(), stop))
        return self


class ByLength:
    """A reward model that likes long answers."""

    async def score(self, prompt: ModelInput, answer: Sequence[int]) -> float:
        return prompt.length + 10.0 * len(answer)


@pytest.mark.parametrize(("ending", "cost"), [([END], 0.0), ([], 2.0)])
async def test_an_answer_earns_its_score_and_pays_for_being_cut_off(
    ending: list[int], cost: float
) -> None:
    tokens = RENDERER.vocabulary.encode("The owl is kind and grim, warm, fine.") + ending
    policy, judge = Answers(tokens), ByLength()
    outcome = await Judged((1, 2, 3), judge, 2.0, kindness).play(policy)  # type: ignore[arg-type]
    score = 3 + 10.0 * len(tokens)
    parts = {"score": score, "finished": float(not cost), "liking": 2.0}
    assert outcome == Outcome(score - cost, parts)
    assert policy.asked == [([1, 2, 3], RENDERER.stop)]


def test_a_budget_needs_the_penalty_that_measures_it() -> None:
    with pytest.raises(ValueError, match="kl_budget has no use with kl_penalty=0"):
        PreferenceRLHF(kl_penalty=0.0)
    assert PreferenceRLHF(kl_penalty=0.0, kl_budget=None).kl_budget is None
    with pytest.raises(ValueError, match="did you mean kl_budget"):
        read(PreferenceRLHF, ["kl_buget=1"])


def test_a_number_out_of_range_is_told_by_its_name() -> None:
    with pytest.raises(ValueError, match=r"^unfinished_cost=-1\.0 is out of range: at least 0"):
        read(PreferenceRLHF, ["unfinished_cost=-1"])
