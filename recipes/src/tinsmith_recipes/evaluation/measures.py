"""How good an answer is, and whether one model's are better than another's to the same questions.

Two models that answer the same questions are compared question by question: that tells apart
what two intervals side by side do not.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tinsmith_recipes.training.figures import Figure, Z, ratio, share

WIN, TIE, LOSS = 1.0, 0.5, 0.0
SURE = 0.05
FLIPS = 10_000
_WORDS = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True)
class Difference:
    """A figure of one model less that of another on the same cases.

    Attributes:
        value, low, high: the difference and its 95 % interval, paired by case.
        p: how likely chance alone makes one so large, two-sided: McNemar's exact test of shares, a
            permutation test of everything else.
        is_share: whether it is one of shares, to be read in points of a hundred.
    """

    value: float
    low: float
    high: float
    p: float
    is_share: bool = False

    @property
    def is_sure(self) -> bool:
        """Whether the test tells the two apart."""
        return self.p < SURE

    def __str__(self) -> str:
        scale, digits = (100, 1) if self.is_share else (1, 3)
        value, low, high = (
            f"{scale * number:+.{digits}f}" for number in (self.value, self.low, self.high)
        )
        return f"{value} ({low} to {high}, p={self.p:.2g})"


def exact_match(answer: str, reference: str) -> bool:
    """Whether an answer is the reference, white space around it apart."""
    return answer.strip() == reference.strip()


def token_f1(answer: str, reference: str) -> float:
    """How many words and marks an answer has in common with the reference, as an F1, 0 to 1.

    >>> token_f1("the red house", "a red house")
    0.6666666666666666
    """
    said, wanted = (Counter(_WORDS.findall(text.lower())) for text in (answer, reference))
    if not said or not wanted:
        return float(said == wanted)
    common = sum((said & wanted).values())
    return 2 * common / (sum(said.values()) + sum(wanted.values()))


def win_rate(points: Sequence[float]) -> Figure:
    """How often one of two wins, a tie counted as half.

    Args:
        points: of each case, WIN, TIE or LOSS.

    Raises:
        ValueError: no cases.
    """
    return share(points)


def share_difference(ours: Sequence[bool], theirs: Sequence[bool]) -> Difference:
    """The difference of two shares over the same cases.

    The interval is Agresti and Min's: half a case is added to each way two answers can fall out,
    so that it has a width where all cases fall out alike.
    """
    _check_paired(ours, theirs)
    won = sum(one and not other for one, other in zip(ours, theirs, strict=True))
    lost = sum(other and not one for one, other in zip(ours, theirs, strict=True))
    count = len(ours) + 2
    middle = (won - lost) / count
    reach = Z * math.sqrt(max(0.0, (won + lost + 1) / count - middle**2) / count)
    value = (won - lost) / len(ours)
    return Difference(
        value, max(-1.0, middle - reach), min(1.0, middle + reach), mcnemar(won, lost), True
    )


def ratio_difference(
    ours: Sequence[float], theirs: Sequence[float], counts: Sequence[int]
) -> Difference:
    """The difference of two ratios over the same cases and counts; see ``figures.ratio``."""
    _check_paired(ours, theirs)
    gaps = [one - other for one, other in zip(ours, theirs, strict=True)]
    found = ratio(gaps, counts)
    return Difference(found.value, found.low, found.high, flip_test(gaps))


def flip_test(gaps: Sequence[float]) -> float:
    """How likely a sum is as far from 0 if each of its terms had either sign by chance.

    Of FLIPS drawings, always the same ones.
    """
    terms = np.asarray(gaps, np.float64)
    signs = np.random.default_rng(0).integers(0, 2, (FLIPS, len(terms)), dtype=np.int8) * 2 - 1
    reached = np.abs(signs @ terms) >= abs(terms.sum()) - 1e-12 * np.abs(terms).sum()
    return float((1 + reached.sum()) / (1 + FLIPS))


def mcnemar(won: int, lost: int) -> float:
    """How likely a fair coin falls at least as one-sidedly as so many heads and tails.

    >>> mcnemar(5, 0)
    0.0625
    """
    count, fewer = won + lost, min(won, lost)
    tail = sum(math.comb(count, hits) for hits in range(fewer + 1))
    return min(1.0, float(2 * tail / 2**count))


def _check_paired(ours: Sequence[object], theirs: Sequence[object]) -> None:
    if not ours or len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} cases are no pairs")
