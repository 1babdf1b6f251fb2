"""A programming problem as an environment: one question, one program, tests that judge it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tinsmith.renderers import Ending, Parsed
from tinsmith_recipes.code_rl.data import Problem
from tinsmith_recipes.code_rl.judge import Judge, Result
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import Environment, Outcome, Policy

_BLOCK = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
HOW = "Answer with the whole program in one block:\n```python\n…\n```"


@dataclass(frozen=True)
class CodeEnv(Environment):
    """Asks for a program, and runs it against the problem's tests.

    The reward is the share of tests that pass, less ``format_cost`` for an answer that has no
    program or no end.
    """

    problem: Problem
    judge: Judge
    format_cost: float = 0.1
    tags: tuple[str, ...] = ()

    def get_question(self) -> str:
        """What is asked."""
        return f"{self.problem.question}\n\n{HOW}"

    def program(self, text: str) -> str | None:
        """The program in an answer, the last block of code; None if there is none."""
        blocks = _BLOCK.findall(text)
        return f"{self.problem.setup}\n{blocks[-1]}" if blocks else None

    async def play(self, policy: Policy) -> Outcome:
        """Ask once, and test what is answered."""
        answer = await policy([{"role": "user", "content": self.get_question()}])
        program = self.program(said(answer)) if _ended(answer) else None
        if program is None:
            return Outcome(-self.format_cost, {"format": 0.0, "correct": 0.0, "tests": 0.0})
        verdict = await self.judge(program, self.problem.tests)
        counts = {result: verdict.results.count(result) for result in Result}
        return Outcome(
            verdict.share,
            {
                "format": 1.0,
                "correct": float(verdict.passed),
                "tests": verdict.share,
                **{result.replace(" ", "_"): float(count > 0) for result, count in counts.items()},
            },
        )


class ExpressionEnv(CodeEnv):
    """A task for a nano model: the answer is an expression, which becomes a function of one."""

    def get_question(self) -> str:
        """The task."""
        return self.problem.question

    def program(self, text: str) -> str | None:
        """A function that gives what was written; it is run whatever it is."""
        return f"def f({self.problem.argument}):\n    return {text}\n" if text else None


def _ended(answer: Parsed) -> bool:
    return answer.ending in (Ending.STOP, Ending.END_OF_TEXT)
