"""From a program and its tests to a verdict. Right answers never enter the sandbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from tinsmith_recipes.code_rl.sandbox import Ending, Limits, Outcome, Sandbox
from tinsmith_recipes.code_rl.values import text_of

_HERE = Path(__file__).parent
_MOST_REMEMBERED = 10_000


class Result(StrEnum):
    """What one test says of a program."""

    PASSED = "passed"
    WRONG_OUTPUT = "wrong output"
    ERROR = "error"
    OVER_TIME = "over time"
    OVER_MEMORY = "over memory"
    FORBIDDEN_CALL = "forbidden call"


@dataclass(frozen=True)
class Typed:
    """A test of a whole program: what it is given to read, and what it has to write.

    White space at the ends of lines and of the text does not matter.
    """

    given: str
    right: str


@dataclass(frozen=True)
class Called:
    """A test of a function: an expression that calls it, and the value as `text_of` writes it."""

    call: str
    right: str

    @classmethod
    def of(cls, call: str, value: object) -> Called:
        """A test from the right value itself."""
        return cls(call, text_of(value))


Test = Typed | Called


@dataclass(frozen=True)
class Verdict:
    """What every test says, in their order, and the first failure in words."""

    results: tuple[Result, ...]
    why: str = ""

    @property
    def passed(self) -> bool:
        """All tests passed."""
        return all(result is Result.PASSED for result in self.results)

    @property
    def share(self) -> float:
        """The share of tests that passed."""
        return sum(result is Result.PASSED for result in self.results) / len(self.results)


class Judge:
    """Tests programs in a sandbox. The same program with the same tests is run once.

    `limits` are for each test that is typed, and for all calls of a solution together.
    """

    def __init__(self, sandbox: Sandbox, limits: Limits) -> None:
        self.sandbox, self.limits = sandbox, limits
        self._known: dict[tuple[str, tuple[Test, ...]], asyncio.Task[Verdict]] = {}

    async def __call__(self, program: str, tests: Sequence[Test]) -> Verdict:
        """Run all tests.

        Raises:
            ValueError: there are no tests.
            SandboxUnavailable: programs cannot be run here.
        """
        if not tests:
            raise ValueError("a program with no tests cannot be judged")
        key = (program, tuple(tests))
        if key not in self._known or self._known[key].cancelled():
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.pop(next(iter(self._known)))
            self._known[key] = asyncio.ensure_future(self._judge(program, tests))
        try:
            return await asyncio.shield(self._known[key])
        except Exception:
            self._known.pop(key, None)  # it may go better another time
            raise

    async def _judge(self, program: str, tests: Sequence[Test]) -> Verdict:
        typed = [test for test in tests if isinstance(test, Typed)]
        called = [test for test in tests if isinstance(test, Called)]
        each = [*(self._typed(program, test) for test in typed), self._called(program, called)]
        of_typed, of_called = (found := await asyncio.gather(*each))[:-1], found[-1]
        lines = dict(zip(typed, (line for lines in of_typed for line in lines), strict=True))
        lines_of_calls = dict(zip(called, of_called, strict=True))
        said = [lines[t] if isinstance(t, Typed) else lines_of_calls[t] for t in tests]
        why = next((why for result, why in said if result is not Result.PASSED), "")
        return Verdict(tuple(result for result, _ in said), why)

    async def _typed(self, program: str, test: Typed) -> list[tuple[Result, str]]:
        outcome = await self.sandbox.run(program, test.given, self.limits)
        if not outcome.finished:
            return [_failed(outcome)]
        if _lines(outcome.stdout) == _lines(test.right):
            return [(Result.PASSED, "")]
        return [(Result.WRONG_OUTPUT, f"it wrote {_short(outcome.stdout)}")]

    async def _called(self, program: str, tests: Sequence[Called]) -> list[tuple[Result, str]]:
        if not tests:
            return []
        files = {
            "solution.py": program,
            "values.py": (_HERE / "values.py").read_text(),
            "calls.json": json.dumps([test.call for test in tests]),
        }
        calling = (_HERE / "calling.py").read_text()
        outcome = await self.sandbox.run(calling, limits=self.limits, files=files)
        answers = _answers(outcome.stdout)
        return [_compared(answers.get(at), test, outcome) for at, test in enumerate(tests)]


def _compared(answer: str | None, test: Called, outcome: Outcome) -> tuple[Result, str]:
    if answer is None:
        if outcome.finished:
            return Result.ERROR, "it left before it answered"
        return _failed(outcome)
    if answer.startswith("!MemoryError"):
        return Result.OVER_MEMORY, f"{test.call}: out of memory"
    if answer.startswith("!"):
        return Result.ERROR, f"{test.call}: {answer[1:]}"
    if answer == test.right and not answer.startswith("?"):
        return Result.PASSED, ""
    return Result.WRONG_OUTPUT, f"{test.call} gave {_short(answer)}"


def _failed(outcome: Outcome) -> tuple[Result, str]:
    result = {
        Ending.ERROR: Result.ERROR,
        Ending.OVER_TIME: Result.OVER_TIME,
        Ending.OVER_MEMORY: Result.OVER_MEMORY,
        Ending.FORBIDDEN_CALL: Result.FORBIDDEN_CALL,
    }[outcome.ending]
    return result, outcome.why


def _answers(text: str) -> dict[int, str]:
    """What was written for each call; a program may write anything, and the first one counts."""
    found: dict[int, str] = {}
    for line in text.splitlines():
        try:
            number, answer = json.loads(line)
        except (ValueError, TypeError, RecursionError):
            continue
        if type(number) is int and isinstance(answer, str):
            found.setdefault(number, answer)
    return found


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:80] + "…")
