"""Programming problems with their tests: generated ones, MBPP, DeepCoder, or a file like either."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tinsmith.data import BadRow, load_rows
from tinsmith_recipes.code_rl.judge import Called, Test, Typed
from tinsmith_recipes.code_rl.tasks import Task, split

_MAKERS: dict[str, Callable[[Any], Any]] = {
    one.__name__: one for one in (set, frozenset, tuple, list, sorted, dict, float)
}


@dataclass(frozen=True)
class Problem:
    """What is asked, and what a program has to pass.

    Attributes:
        question: what is asked.
        tests: what it has to pass.
        setup: code that runs in front of the program, e.g. imports of the tests.
        argument: what the function of a generated task is given.
    """

    question: str
    tests: tuple[Test, ...]
    setup: str = ""
    argument: str = ""


def problem_of(task: Task) -> Problem:
    """A generated task with its tests."""
    tests = tuple(Called.of(f"f({given!r})", right) for given, right in task.examples())
    return Problem(task.question, tests, argument=task.variable)


@dataclass(frozen=True)
class Problems:
    """Solved tasks to show, problems to learn from, problems to test with; what was left out."""

    shown: list[Task]
    learn: list[Problem]
    test: list[Problem]
    notes: tuple[str, ...] = ()


def generated(held_out: int, demonstrated: int, seed: int) -> Problems:
    """Tasks of the nano models; none to test with is among the others."""
    shown, learn, test = split(held_out, demonstrated, seed)
    return Problems(shown, [problem_of(one) for one in learn], [problem_of(one) for one in test])


Read = Callable[..., tuple[list[Problem], list[BadRow]]]


def public(
    read: Read,
    learn_from: tuple[str, str | None],
    test_with: tuple[str, str | None],
    *,
    held_out: int,
    most_tests: int,
) -> Problems:
    """Two sources, each a file or hub name and its split; what is tested is not learnt from.

    Raises:
        ValueError: a source has no problem that can be tested; from ``read`` and ``load_rows``.
    """
    notes = []
    found = []
    for source, part in (learn_from, test_with):
        problems, left_out = read(source, part, most_tests=most_tests)
        if left_out:
            notes.append(f"{len(left_out)} problems are left out, the first is {left_out[0]}")
        if not problems:
            raise ValueError(f"{source} has no problem that can be tested")
        found.append(problems)
    test = found[1][:held_out]
    known = {one.question for one in test}
    learn = [one for one in found[0] if one.question not in known]
    if not learn:
        raise ValueError(f"{learn_from[0]} has no problem beside those that are tested with")
    return Problems([], learn, test, tuple(notes))


def mbpp(
    source: str, part: str | None, *, limit: int | None = None, most_tests: int = 8
) -> tuple[list[Problem], list[BadRow]]:
    """Rows of MBPP: ``text`` or ``prompt``, and ``test_list``, each ``assert call == value``.

    As the set is used everywhere, the question shows the first test, for it names the function.
    Problems whose tests are no such comparisons are left out; the second list says why.

    Raises:
        BadRow: a row that has not these columns.
    """
    problems: list[Problem] = []
    left_out: list[BadRow] = []
    for place, row in load_rows(source, split=part, limit=limit):
        question = row.get("text") or row.get("prompt")
        tests = row.get("test_list")
        if not isinstance(question, str) or not isinstance(tests, list) or not tests:
            raise BadRow(
                place, f"MBPP has 'text' or 'prompt', and 'test_list'; it has {_keys(row)}"
            )
        try:
            found = tuple(_asserted(str(test)) for test in tests[:most_tests])
        except ValueError as error:
            left_out.append(BadRow(place, str(error)))
            continue
        setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
        problems.append(Problem(f"{question}\nIt has to pass: {tests[0]}", found, setup))
    return problems, left_out


def deepcoder(
    source: str, part: str | None, *, limit: int | None = None, most_tests: int = 8
) -> tuple[list[Problem], list[BadRow]]:
    """Rows of DeepCoder: ``problem``, and ``tests``, a text of JSON in one of its sources' forms.

    Of many tests the first ``most_tests`` are taken. Problems without a test that we can run are
    left out; the second list says why.

    Raises:
        BadRow: a row that has not these columns.
    """
    problems: list[Problem] = []
    left_out: list[BadRow] = []
    for place, row in load_rows(source, split=part, limit=limit):
        question, tests = row.get("problem"), row.get("tests")
        if not isinstance(question, str) or not isinstance(tests, str):
            raise BadRow(place, f"DeepCoder has 'problem' and 'tests'; it has {_keys(row)}")
        try:
            found = _tests_of(json.loads(tests), row)[:most_tests]
            if not found:
                raise ValueError("it has no tests")
        except (ValueError, KeyError, TypeError) as error:
            left_out.append(BadRow(place, str(error)))
            continue
        starter = row.get("starter_code")
        begin = f"\n\nBegin with:\n```python\n{starter}\n```" if starter else ""
        problems.append(Problem(question + begin, tuple(found)))
    return problems, left_out


def _asserted(test: str) -> Called:
    """``assert call == value`` as a test; the value is a literal, or a set and the like of one."""
    match ast.parse(test.strip()).body:
        case [ast.Assert(test=ast.Compare(left=call, ops=[ast.Eq()], comparators=[right]))]:
            return Called.of(ast.unparse(call), _value(right))
    raise ValueError(f"not of the form 'assert call == value': {test}")


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _MAKERS:
            return _MAKERS[name](ast.literal_eval(argument))
    return ast.literal_eval(node)


def _tests_of(tests: Any, row: Mapping[str, Any]) -> list[Test]:
    if isinstance(tests, dict):  # TACO: two lists, and the function's name if there is one
        pairs = zip(tests["inputs"], tests["outputs"], strict=True)
        name = tests.get("fn_name")
        return [_test(name, given, right) for given, right in pairs]
    found: list[Test] = []
    for test in tests:
        kind = test.get("type") or test.get("testtype")
        if kind in ("stdin_stdout", "stdin"):
            found.append(_test(None, test["input"], test["output"]))
        elif kind == "function_call":  # PrimeIntellect: lists
            found.append(_test(test["fn_name"], test["input"], test["output"]))
        elif kind == "functional":  # LiveCodeBench: JSON, an argument a line
            given = [json.loads(line) for line in test["input"].splitlines() if line.strip()]
            name = _named(test.get("metadata")) or _named(row.get("metadata"))
            if name is None:
                raise ValueError("a functional test has no func_name in its metadata")
            found.append(_test(name, given, [json.loads(test["output"])]))
        else:
            raise ValueError(f"a test of type {kind!r}; there are stdin and function calls")
    return found


def _test(function: str | None, given: Any, right: Any) -> Test:
    if function is None:
        return Typed(_joined(given), _joined(right))
    if not function.isidentifier():
        raise ValueError(f"{function!r} is no function's name")
    value = right[0] if isinstance(right, list) and len(right) == 1 else right
    arguments = ", ".join(repr(one) for one in given)
    # a function, or a method of a class Solution, as the problem's site has it
    called = f"(Solution().{function} if 'Solution' in globals() else {function})({arguments})"
    return Called.of(called, value)


def _joined(text: Any) -> str:
    return "\n".join(map(str, text)) if isinstance(text, list) else str(text)


def _named(metadata: Any) -> str | None:
    if isinstance(metadata, str):
        metadata = json.loads(metadata or "{}")
    return metadata.get("func_name") if isinstance(metadata, dict) else None


def _keys(row: Mapping[str, Any]) -> str:
    return ", ".join(sorted(row))
