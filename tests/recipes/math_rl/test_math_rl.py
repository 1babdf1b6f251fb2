"""Problems, answers that are right, and those that are not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tinsmith.data import BadRow
from tinsmith.renderers import Ending, Parsed
from tinsmith_recipes.math_rl import data
from tinsmith_recipes.math_rl.data import Problem
from tinsmith_recipes.math_rl.env import MathEnv, SumEnv, same

ROWS = Path(__file__).parent / "rows"


class Says:
    """Stands where the policy does and says one thing."""

    def __init__(self, text: str, ending: Ending = Ending.STOP) -> None:
        self.text, self.ending = text, ending
        self.asked: list[Any] = []

    async def __call__(self, messages: list[Any]) -> Parsed:
        self.asked = messages
        return Parsed({"role": "assistant", "content": self.text}, self.ending)


def played(env: MathEnv, text: str, ending: Ending = Ending.STOP) -> tuple[float, dict[str, float]]:
    outcome = asyncio.run(env.play(Says(text, ending)))  # type: ignore[arg-type]
    return outcome.reward, dict(outcome.parts)


@pytest.mark.parametrize("carries", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sums_are_right_and_no_held_out_one_is_learnt(carries: bool, seed: int) -> None:
    learn, test = data.sums(40, 5, 50, carries=carries, seed=seed)
    pairs = [[], []]
    for found, problems in zip(pairs, (learn, test), strict=True):
        for problem in problems:
            a, b = (int(word) for word in problem.question[8:-1].split(" + "))
            assert problem.answer == str(a + b)
            assert carries or a % 10 + b % 10 < 10
            found.append(frozenset((a, b)))
    assert len(test) == 50
    assert not set(pairs[0]) & set(pairs[1])
    assert data.sums(40, 5, 50, carries=carries, seed=seed) == (learn, test)
    assert data.sums(40, 5, 50, carries=carries, seed=seed + 1)[1] != test


def test_sums_are_of_the_numbers_that_were_asked_for() -> None:
    found = [one.question for part in data.sums(12, 1, 2, smallest=10) for one in part]
    assert sorted(found) == [f"What is {a} + {b}?" for a in (10, 11, 12) for b in (0, 1)]


def test_too_few_sums_are_refused() -> None:
    with pytest.raises(ValueError, match="6 sums are too few to hold 6 of them out"):
        data.sums(2, 1, 6, carries=True)
    with pytest.raises(ValueError, match="0 sums are too few"):
        data.sums(2, 1, 6, smallest=3)


def test_gsm8k_is_read() -> None:
    problems = data.gsm8k(str(ROWS / "gsm8k.jsonl"), None)
    assert [one.answer for one in problems] == ["72", "2400"]
    assert problems[0].question.startswith("Natalia")


def test_math_is_read_in_both_its_forms() -> None:
    found = data.math(str(ROWS / "math.jsonl"), None)
    assert [(one.answer, one.kind) for one in found] == [
        ("\\frac{5}{6}", "Algebra"),
        ("2", "Algebra"),
    ]
    (other,) = data.math(str(ROWS / "math500.jsonl"), None)
    assert (other.answer, other.kind) == (r"\left( 3, \frac{\pi}{2} \right)", "Precalculus")


@pytest.mark.parametrize(
    ("read", "row", "words"),
    [
        (data.gsm8k, '{"question": "1+1?", "answer": "2"}', "no line '#### number'"),
        (data.gsm8k, '{"question": "1+1?"}', "'answer' must be a text; it has question"),
        (data.math, '{"problem": "1+1?", "solution": "2"}', "no .boxed{answer}"),
    ],
)
def test_a_bad_row_is_told_with_its_line(read: Any, row: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(row + "\n")
    with pytest.raises(BadRow, match=f"rows.jsonl:1: .*{words}"):
        read(str(path), None)


def test_the_nano_models_say_a_number_alone() -> None:
    env = SumEnv(Problem("What is 3 + 4?", "7"))
    assert env.get_question() == "What is 3 + 4?"
    assert played(env, "7") == (1.0, {"correct": 1, "format": 1})
    assert played(env, "8") == (0.0, {"correct": 0, "format": 1})
    assert played(env, "seven") == (-0.1, {"correct": 0, "format": 0})
    assert played(env, "7", Ending.CUT_OFF) == (-0.1, {"correct": 0, "format": 0})


def test_others_answer_in_a_box() -> None:
    pytest.importorskip("math_verify")
    env = MathEnv(Problem("Half of a third?", "\\frac{1}{6}"), format_cost=0.2)
    assert env.get_question() == "Half of a third? Write your answer in \\boxed{} format."
    assert played(env, "It is \\boxed{1/6}.") == (1.0, {"correct": 1, "format": 1})
    assert played(env, "It is \\boxed{\\frac{2}{12}}.")[0] == 1.0
    assert played(env, "It is \\boxed{1/7}.")[0] == 0.0
    assert played(env, "It is 1/6.") == (-0.2, {"correct": 0, "format": 0})


@pytest.mark.parametrize(
    ("given", "right", "is_same"),
    [
        ("72", "72", True),
        ("72.0", "72", True),
        ("0.5", "\\frac{1}{2}", True),
        ("x+1", "1+x", True),
        ("\\sqrt{8}", "2\\sqrt{2}", True),
        ("(1,2)", "(2,1)", False),
        ("71", "72", False),
        ("", "72", False),
        ("nonsense \\frac{", "72", False),
    ],
)
def test_answers_are_compared_as_mathematics(given: str, right: str, is_same: bool) -> None:
    pytest.importorskip("math_verify")
    assert same(given, right) is is_same
