"""Figures, their intervals and tests, against numbers worked out by hand and by drawing."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from tinsmith_recipes.evaluation.comparison import by_rule, compare, likeness
from tinsmith_recipes.evaluation.examining import Scores
from tinsmith_recipes.evaluation.measures import (
    LOSS,
    TIE,
    WIN,
    exact_match,
    flip_test,
    mcnemar,
    ratio_difference,
    share_difference,
    token_f1,
    win_rate,
)
from tinsmith_recipes.evaluation.report import OfSet, verdict
from tinsmith_recipes.training.figures import mean, ratio, share

DRAWINGS = 400


def test_a_share_has_wilsons_interval() -> None:
    figure = share([True] * 8 + [False] * 2)  # 0.4902 to 0.9433, as tables have it
    assert (figure.value, figure.low, figure.high) == pytest.approx((0.8, 0.4902, 0.9433), abs=1e-4)
    none = share([False] * 20)
    assert none.low == pytest.approx(0, abs=1e-12)
    assert none.high == pytest.approx(0.1611, abs=1e-4)


def test_a_win_counts_whole_and_a_tie_half() -> None:
    figure = win_rate([WIN, WIN, TIE, LOSS])
    assert (figure.value, figure.count) == (0.625, 4)
    with pytest.raises(ValueError, match="no cases"):
        win_rate([])


def test_a_ratio_weighs_cases_by_their_counts() -> None:
    figure = ratio([10.0, 1.0], [9, 1])
    assert figure.value == pytest.approx(1.1)
    # what is left of each case: 10 - 9.9 and 1 - 1.1
    assert figure.high - figure.value == pytest.approx(1.959964 * 0.2 / 10, rel=1e-6)
    same, alike = ratio([2.0, 4.0, 6.0], [1, 1, 1]), mean([2.0, 4.0, 6.0])
    assert (same.value, same.low, same.high) == pytest.approx((alike.value, alike.low, alike.high))


def test_the_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Of 400 samples of 60 chats, each with tokens that go together, about 95 in 100 hold it."""
    draw = np.random.default_rng(7)
    held = 0
    for _ in range(DRAWINGS):
        counts = draw.integers(1, 30, 60)
        a_token = 1.0 + draw.normal(0, 0.4, 60)  # what is in one chat is alike
        figure = ratio(list(a_token * counts), [int(count) for count in counts])
        held += figure.low <= 1.0 <= figure.high
    assert 0.91 <= held / DRAWINGS <= 0.985


def test_the_interval_of_a_paired_difference_holds_the_truth_as_often_as_it_says() -> None:
    draw = Random(3)
    held = 0
    for _ in range(DRAWINGS):
        ours, theirs = [], []
        for _ in range(50):
            is_easy = draw.random() < 0.5  # what makes the two alike
            ours.append(draw.random() < (0.95 if is_easy else 0.5))
            theirs.append(draw.random() < (0.85 if is_easy else 0.4))
        found = share_difference(ours, theirs)
        held += found.low <= 0.1 <= found.high
    assert 0.92 <= held / DRAWINGS <= 0.99


def test_mcnemars_test_counts_the_cases_that_differ() -> None:
    ours = [True] * 8 + [False] + [True] * 40
    theirs = [False] * 8 + [True] + [True] * 40
    found = share_difference(ours, theirs)
    assert found.p == mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 512)
    assert found.value == pytest.approx(7 / 49)
    assert found.low > 0
    assert found.is_sure
    same = share_difference([True] * 30, [True] * 30)
    assert (same.value, same.p) == (0, 1)
    assert same.low < 0 < same.high


def test_the_permutation_test_is_near_what_can_be_counted() -> None:
    # of 2 ** 5 signs two make the sum as large
    assert flip_test([1.0] * 5) == pytest.approx(2 / 32, abs=0.01)
    assert flip_test([0.0] * 9) == 1
    gaps = [0.3, -0.1, 0.4, 0.2, 0.5, -0.2, 0.1, 0.6]
    assert flip_test(gaps) == flip_test(gaps) == pytest.approx(_counted(gaps), abs=0.01)


def _counted(gaps: list[float]) -> float:
    """The test over all signs there are."""
    sums = [
        sum(gap if number >> place & 1 else -gap for place, gap in enumerate(gaps))
        for number in range(2 ** len(gaps))
    ]
    return sum(abs(one) >= abs(sum(gaps)) - 1e-9 for one in sums) / len(sums)


def test_pairs_must_be_pairs() -> None:
    with pytest.raises(ValueError, match="2 and 1 cases are no pairs"):
        share_difference([True, False], [True])
    with pytest.raises(ValueError, match="0 and 0 cases"):
        ratio_difference([], [], [])


@pytest.mark.parametrize(
    ("answer", "right", "f1"),
    [
        ("the red house", "a red house", 2 / 3),
        ("Red, house!", "red house", 2 * 2 / (4 + 2)),
        ("red red", "red", 2 / 3),
        ("no", "yes", 0),
        ("", "", 1),
        ("", "yes", 0),
    ],
)
def test_f1_counts_words_and_marks(answer: str, right: str, f1: float) -> None:
    assert token_f1(answer, right) == pytest.approx(f1)
    assert token_f1(right, answer) == pytest.approx(f1)


def test_exact_match_forgives_white_space_and_nothing_else() -> None:
    assert exact_match(" a b\n", "a b")
    assert not exact_match("a  b", "a b")
    assert not exact_match("A", "a")


CHATS = [
    [{"role": "user", "content": "?"}, {"role": "assistant", "content": right}]
    for right in ("a b", "c", "d")
]
OURS = Scores([2.0, 1.0, 1.0], [4, 2, 2], ["a b", "c", "x"], ["a b", "c", "d"])
BASE = Scores([4.0, 2.0, 1.0], [4, 2, 2], ["a x", "c", "d"], ["a b", "c", "d"])


def test_a_model_is_compared_with_its_base_chat_by_chat() -> None:
    found = compare(CHATS, OURS, BASE)
    assert set(found) == {"nll", "exact_match", "f1", "win_rate"}
    nll = found["nll"]
    assert nll.base is not None
    assert nll.difference is not None
    assert (nll.ours.value, nll.base.value, nll.difference.value) == pytest.approx(
        (0.5, 7 / 8, -3 / 8)
    )
    # won, tied, lost
    assert found["win_rate"].ours.value == pytest.approx(0.5)
    assert compare(CHATS, OURS)["nll"].base is None


def test_nats_of_other_tokens_have_no_difference() -> None:
    other = Scores([4.0, 2.0, 1.0], [2, 1, 1], BASE.answers, BASE.references)
    found = compare(CHATS, OURS, other)
    assert found["nll"].base is not None
    assert found["nll"].difference is None
    assert found["exact_match"].difference is not None


def test_a_true_rule_may_judge_instead() -> None:
    judge = by_rule(lambda chat, answer: float("x" in answer))
    assert compare(CHATS, OURS, BASE, judge)["win_rate"].ours.value == pytest.approx(0.5)
    assert [judge(CHATS[0], *pair) for pair in (("x", ""), ("", "x"), ("", ""))] == [WIN, LOSS, TIE]
    assert likeness(CHATS[0], "a b") > likeness(CHATS[0], "b a") == 1.0


def test_a_report_says_better_worse_or_nothing() -> None:
    right = Scores([1.0] * 20, [1] * 20, ["a"] * 20, ["a"] * 20)
    wrong = Scores([2.0] * 20, [1] * 20, ["b"] * 20, ["a"] * 20)
    chats = [CHATS[0]] * 20
    better, worse = compare(chats, right, wrong), compare(chats, wrong, right)
    for name in ("nll", "exact_match", "f1"):
        assert (verdict(name, better[name]), verdict(name, worse[name])) == ("better", "worse")
        assert "no difference" in verdict(name, compare(chats, right, right)[name])
    told = "\n".join(OfSet("general", 20, worse).lines())
    assert "forgetting: 100.0% of the general tasks are done no longer" in told
    assert "forgetting: none" in "\n".join(OfSet("general", 20, better).lines())
    assert "forgetting" not in "\n".join(OfSet("mine", 20, worse, ["chats.jsonl:3: bad"]).lines())
