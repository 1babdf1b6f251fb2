"""A problem as an environment: one question, one answer, right or wrong."""

from __future__ import annotations

from dataclasses import dataclass

from tinsmith.renderers import Ending, Parsed
from tinsmith_recipes.math_rl.data import Problem, boxed
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy


@dataclass(frozen=True)
class MathEnv(Environment):
    """Asks for an answer in a box, and compares it as mathematics.

    The reward is 1 for a right answer, less ``format_cost`` for one that has no box or no end.
    """

    problem: Problem
    format_cost: float = 0.1
    tags: tuple[str, ...] = ()

    def get_question(self) -> str:
        """What is asked."""
        return self.problem.question + " Write your answer in \\boxed{} format."

    def check_format(self, text: str) -> bool:
        """Whether there is an answer in it."""
        return boxed(text) is not None

    def check_answer(self, text: str) -> bool:
        """Whether it is right."""
        return same(boxed(text) or "", self.problem.answer)

    async def play(self, policy: Policy) -> Outcome:
        """Ask once."""
        answer = await policy([{"role": "user", "content": self.get_question()}])
        text = said(answer)
        has_format = _ended(answer) and self.check_format(text)
        correct = has_format and self.check_answer(text)
        reward = float(correct) - self.format_cost * (not has_format)
        return Outcome(reward, {"correct": float(correct), "format": float(has_format)})


class SumEnv(MathEnv):
    """A sum for a nano model, which knows no boxes: the answer is the number alone."""

    def get_question(self) -> str:
        """The sum."""
        return self.problem.question

    def check_format(self, text: str) -> bool:
        """Whether it is a number."""
        return text.isdecimal()

    def check_answer(self, text: str) -> bool:
        """Whether it is the right one, to the digit."""
        return text == self.problem.answer


def same(given: str, right: str) -> bool:
    """Whether two answers are the same mathematics, e.g. 1/2 and 0.5.

    Raises:
        ImportError: math-verify is not installed.
    """
    try:
        from math_verify import parse, verify  # type: ignore
    except ImportError:
        raise ImportError(
            "answers are compared by math-verify: pip install 'tinsmith-recipes[math]'"
        ) from None
    if given == right:
        return True
    # no time-outs by signals: episodes are played in one thread, which may not be the main one
    wanted, found = (parse(f"${text}$", parsing_timeout=None) for text in (right, given))
    return bool(verify(wanted, found, timeout_seconds=None))


def _ended(answer: Parsed) -> bool:
    return answer.ending in (Ending.STOP, Ending.END_OF_TEXT)
