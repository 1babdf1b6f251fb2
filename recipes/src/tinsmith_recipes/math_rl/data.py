"""Problems with their answers: generated sums, GSM8K, MATH, or a file like either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from tinsmith.data import BadRow, load_rows


@dataclass(frozen=True, slots=True)
class Problem:
    """A question, the answer that is right, and what kind it is."""

    question: str
    answer: str
    kind: str = ""


def sums(
    largest: int,
    added: int,
    held_out: int,
    *,
    smallest: int = 0,
    carries: bool = False,
    seed: int = 0,
) -> tuple[list[Problem], list[Problem]]:
    """All sums of a number up to ``largest`` and one up to ``added``, in an order of the seed.

    Args:
        largest, added: the largest first and second number.
        held_out: how many are to test with; the others are to learn from.
        smallest: the smallest first number.
        carries: whether the units may add up to ten or more.
        seed: of the order.

    No pair of numbers is in both, in whichever order.

    >>> learn, test = sums(98, 3, 60)
    >>> len(learn), len(test), test[0].question
    (279, 60, '...')

    Raises:
        ValueError: so many are to be held out that none is left.
    """
    pairs = [
        (a, b)
        for a in range(smallest, largest + 1)
        for b in range(added + 1)
        if carries or a % 10 + b % 10 < 10
    ]
    random = Random(f"sums {seed}")
    random.shuffle(pairs)
    test = pairs[:held_out]
    known = {frozenset(pair) for pair in test}
    learn = [pair for pair in pairs[held_out:] if frozenset(pair) not in known]
    if len(test) < held_out or not learn:
        raise ValueError(f"{len(pairs)} sums are too few to hold {held_out} of them out")
    return [_sum(*pair) for pair in learn], [_sum(*pair) for pair in test]


def _sum(a: int, b: int) -> Problem:
    return Problem(f"What is {a} + {b}?", str(a + b))


def gsm8k(source: str, split: str | None, limit: int | None = None) -> list[Problem]:
    """Rows of GSM8K: ``question``, and ``answer``, whose last line is ``#### 72``.

    Raises:
        BadRow: a row that is not like that.
    """
    found = []
    for place, row in load_rows(source, split=split, limit=limit):
        _, mark, answer = _text(place, row, "answer").rpartition("####")
        if not mark:
            raise BadRow(place, "its answer has no line '#### number'")
        question = _text(place, row, "question")
        found.append(Problem(question, answer.strip().replace(",", ""), "gsm8k"))
    return found


def math(source: str, split: str | None, limit: int | None = None) -> list[Problem]:
    """Rows of MATH: ``problem``, and ``solution``, whose last ``\\boxed{…}`` is the answer.

    Raises:
        BadRow: a row that is not like that.
    """
    found = []
    for place, row in load_rows(source, split=split, limit=limit):
        answer = boxed(_text(place, row, "solution"))
        if answer is None:
            raise BadRow(place, "its solution has no \\boxed{answer}")
        kind = row.get("type") or row.get("subject") or "math"
        found.append(Problem(_text(place, row, "problem"), answer, str(kind)))
    return found


def boxed(text: str) -> str | None:
    r"""What is in the last ``\boxed{…}`` of a text; None if there is none.

    >>> boxed(r"So \boxed{1}, no: \boxed{\frac{1}{2}}.")
    '\\frac{1}{2}'
    """
    begin = text.rfind("\\boxed{")
    if begin < 0:
        return None
    depth, start = 1, begin + len("\\boxed{")
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start:place].strip()
    return None


def without(problems: Sequence[Problem], others: Sequence[Problem]) -> list[Problem]:
    """Problems whose question is none of the others'."""
    known = {" ".join(one.question.split()) for one in others}
    return [one for one in problems if " ".join(one.question.split()) not in known]


def _text(place: str, row: dict[str, object], key: str) -> str:
    value = row.get(key)
    if not isinstance(value, str) or not value.strip():
        raise BadRow(place, f"{key!r} must be a text; it has {', '.join(sorted(row))}")
    return value
