"""Small programming tasks for the nano models: one expression of one or two steps, in words.

Write code that adds 3 to n, then squares it.  ->  (n+3)**2
Write code that reverses s, then says it twice.  ->  s[::-1]*2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from random import Random

_SUM, _PRODUCT, _ATOM = 1, 2, 3  # how tightly a piece of code holds together
_LETTERS = "aeinorstx"
_WORDS = ("tin", "smith", "a", "level", "Forge", "nano model")
_OF_A_KIND = 9  # tasks
_NUMBERS = (11, 14, 20, 35, 50, 101)


@dataclass(frozen=True)
class Step:
    """One step: words, code, how tightly its operand must hold together and itself does."""

    kind: str
    words: str
    code: str
    needs: int
    holds: int


@dataclass(frozen=True)
class Task:
    """An expression to be written: of ``n``, a number, or of ``s``, a text."""

    variable: str
    steps: tuple[Step, ...]

    @property
    def question(self) -> str:
        """What is asked."""
        said = [
            self.steps[0].words.format(self.variable),
            *(s.words.format("it") for s in self.steps[1:]),
        ]
        return f"Write code that {', then '.join(said)}."

    @property
    def solution(self) -> str:
        """An expression that does it."""
        code, holds = self.variable, _ATOM
        for step in self.steps:
            code = step.code.format(f"({code})" if holds < step.needs else code)
            holds = step.holds
        return code

    @property
    def chat(self) -> list[dict[str, str]]:
        """The question with its solution."""
        return [
            {"role": "user", "content": self.question},
            {"role": "assistant", "content": self.solution},
        ]

    def examples(self) -> list[tuple[object, object]]:
        """Arguments, with the values that are right for them."""
        given: Sequence[object] = _NUMBERS if self.variable == "n" else _WORDS
        code = compile(self.solution, "solution", "eval")
        return [
            (value, eval(code, {"__builtins__": {"len": len}}, {self.variable: value}))
            for value in given
        ]


def _number_steps() -> list[Step]:
    found = [
        Step("double", "doubles {}", "{}*2", _PRODUCT, _PRODUCT),
        Step("triple", "triples {}", "{}*3", _PRODUCT, _PRODUCT),
        Step("halve", "halves {}", "{}//2", _PRODUCT, _PRODUCT),
        Step("square", "squares {}", "{}**2", _ATOM, _ATOM),
    ]
    for k in range(1, 10):
        found.append(Step("add", f"adds {k} to {{}}", f"{{}}+{k}", _SUM, _SUM))
        found.append(Step("take", f"takes {k} from {{}}", f"{{}}-{k}", _SUM, _SUM))
    return found


def _text_steps() -> list[Step]:
    found = [
        Step("reverse", "reverses {}", "{}[::-1]", _ATOM, _ATOM),
        Step("shout", "shouts {}", "{}.upper()", _ATOM, _ATOM),
        Step("twice", "says {} twice", "{}*2", _PRODUCT, _PRODUCT),
        Step("drop first", "drops the first letter of {}", "{}[1:]", _ATOM, _ATOM),
        Step("drop last", "drops the last letter of {}", "{}[:-1]", _ATOM, _ATOM),
    ]
    for letter in _LETTERS:
        found.append(
            Step(
                "add letter", f"adds '{letter}' to the end of {{}}", f"{{}}+'{letter}'", _SUM, _SUM
            )
        )
    return found


def one_step() -> list[Task]:
    """Every task of one step."""
    return [
        *(Task("n", (step,)) for step in _number_steps()),
        *(Task("s", (step,)) for step in _text_steps()),
    ]


def two_steps(seed: int) -> list[Task]:
    """Tasks of two steps: of each pair of kinds as many, with numbers and letters by chance.

    Else nearly all tasks would add and take, and the rest would not be learnt.
    """
    random = Random(f"tasks {seed}")
    found: list[Task] = []
    for variable, steps in (("n", _number_steps()), ("s", _text_steps())):
        kinds: dict[str, list[Step]] = {}
        for step in steps:
            kinds.setdefault(step.kind, []).append(step)
        for first, second in product(kinds.values(), repeat=2):
            pairs = list(product(first, second))
            found += [
                Task(variable, pair) for pair in random.sample(pairs, min(len(pairs), _OF_A_KIND))
            ]
    return random.sample(found, len(found))


def split(held_out: int, demonstrated: int, seed: int) -> tuple[list[Task], list[Task], list[Task]]:
    """Tasks to show, to practise and to test with; what is tested is in neither of the others.

    Shown are all tasks of one step and ``demonstrated`` of two; the others are of two steps.

    Raises:
        ValueError: no task would be left to practise.
    """
    tasks = two_steps(seed)
    if held_out + demonstrated >= len(tasks):
        raise ValueError(f"of {len(tasks)} tasks of two steps none would be left to learn from")
    test, learn = tasks[:held_out], tasks[held_out:]
    return [*one_step(), *learn[:demonstrated]], learn, test
