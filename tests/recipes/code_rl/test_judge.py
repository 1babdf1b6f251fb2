"""Verdicts: what passes, what does not and why, and that no program can learn the right answers."""

from __future__ import annotations

import math

import pytest

from tests.recipes.code_rl.outside import running
from tests.support.waiting import eventually_async
from tinsmith_recipes.code_rl.judge import Called, Judge, Result, Typed
from tinsmith_recipes.code_rl.sandbox import Limits, Sandbox
from tinsmith_recipes.code_rl.values import text_of

ANSWER = "the-right-answer-" + "7" * 20
TYPED = (Typed("1\n", "2\n"), Typed("20", "40"))
CALLED = (Called.of("double(1)", 2), Called.of("double('ab')", "abab"), Called.of("double([])", []))


@pytest.fixture
def judge(sandbox: Sandbox) -> Judge:
    return Judge(sandbox, Limits(cpu_seconds=1))


async def test_a_right_program_passes(judge: Judge) -> None:
    verdict = await judge("print(int(input()) * 2)  \n", TYPED)
    assert (verdict.passed, verdict.share, verdict.why) == (True, 1.0, "")
    verdict = await judge("def double(x): return x * 2", CALLED)
    assert (verdict.passed, verdict.share, verdict.why) == (True, 1.0, "")


async def test_both_kinds_of_tests_keep_their_order(judge: Judge) -> None:
    program = "def double(x): return x * 2\nif __name__ == '__main__': print(3)"
    tests = (CALLED[0], Typed("", "3"), Called.of("double(1)", 3), Typed("", "4"))
    verdict = await judge(program, tests)
    assert verdict.results == (
        Result.PASSED, Result.PASSED, Result.WRONG_OUTPUT, Result.WRONG_OUTPUT
    )  # fmt: skip
    assert verdict.share == 0.5
    assert verdict.why == "double(1) gave '0x2'"


@pytest.mark.parametrize(
    ("program", "result", "why"),
    [
        ("print(5)", Result.WRONG_OUTPUT, "it wrote '5\\n'"),
        ("1 / 0", Result.ERROR, "ZeroDivisionError: division by zero"),
        ("def f(:", Result.ERROR, "SyntaxError: invalid syntax"),
        ("while True: pass", Result.OVER_TIME, "it computed for more than 1 s"),
        ("x = [0] * 10 ** 9", Result.OVER_MEMORY, "it asked for more than 256 MiB"),
        ("import os; os.fork()", Result.FORBIDDEN_CALL, "it called fork"),
    ],
)
async def test_each_failure_has_its_name(
    program: str, result: Result, why: str, judge: Judge
) -> None:
    verdict = await judge(program, TYPED[:1])
    assert (verdict.results, verdict.why, verdict.passed) == ((result,), why, False)
    called = await judge(f"{program}\ndef double(x): return 3", CALLED[:1])
    assert called.results == (result,)
    assert (await judge("print(int(input()) * 2)", TYPED)).passed


async def test_what_fails_late_keeps_what_passed_before(judge: Judge) -> None:
    program = "def double(x):\n    if x == []:\n        while True: pass\n    return x * 2"
    verdict = await judge(program, CALLED)
    assert verdict.results == (Result.PASSED, Result.PASSED, Result.OVER_TIME)
    program = "def double(x):\n    return x * 2 if x else 1 / 0"
    verdict = await judge(program, CALLED)
    assert verdict.results == (Result.PASSED, Result.PASSED, Result.ERROR)
    assert verdict.why == "double([]): ZeroDivisionError: division by zero"


async def test_what_a_solution_prints_is_no_answer(judge: Judge) -> None:
    program = "print('[0, \"0x2\"]')\ndef double(x):\n    print(x)\n    return x * 2"
    assert (await judge(program, CALLED)).passed


async def test_a_program_with_no_tests_is_refused(judge: Judge) -> None:
    with pytest.raises(ValueError, match="no tests"):
        await judge("print(1)", ())


async def test_the_same_program_runs_once(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[str] = []
    run = judge.sandbox.run

    async def counted(program: str, *rest: object, **named: object) -> object:
        runs.append(program)
        return await run(program, *rest, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(judge.sandbox, "run", counted)
    for _ in range(3):
        assert (await judge("print(2)", TYPED[:1])).passed
    assert not (await judge("print(2)", TYPED[1:])).passed  # other tests: another verdict
    assert len(runs) == 2


# Programs that look for the right answer instead of computing it, and for a way to be believed.
SPIES = {
    "files": (
        "import os, sys\n"
        "for folder, _, names in os.walk('/box'):\n"
        "    for name in names:\n"
        "        text = open(folder + '/' + name).read()\n"
        "        if MARK in text: sys.__stdout__.write('[0, \"' + text + '\"]')\n"
    ),
    "objects": (
        "import gc, sys\n"
        "def texts(one, depth=0):\n"
        "    if isinstance(one, str): yield one\n"
        "    elif depth < 4:\n"
        "        for other in gc.get_referents(one): yield from texts(other, depth + 1)\n"
        "frame = sys._getframe()\n"
        "while frame:\n"
        "    for text in texts([frame.f_locals, frame.f_globals, gc.get_objects()]):\n"
        "        if MARK in text and text is not MARK: FOUND.append(text)\n"
        "    frame = frame.f_back\n"
    ),
    "memory": (
        "import ctypes, os\n"
        "try: maps = open('/proc/self/maps').read()\n"
        "except OSError: maps = ''\n"
        "for line in maps.splitlines():\n"
        "    low, high = (int(n, 16) for n in line.split()[0].split('-'))\n"
        "    FOUND.append(ctypes.string_at(low, high - low))\n"
    ),
    "equal to everything": (
        "class Yes:\n"
        "    def __eq__(self, other): return True\n"
        "    def __hash__(self): return 0\n"
        "    def __repr__(self): return MARK\n"
        "class Text(str):\n"
        "    def __eq__(self, other): return True\n"
        "    __hash__ = str.__hash__\n"
        "def find(): return Text('x')\n"
    ),
    "another judge": (
        "import builtins, json, sys\n"
        "for name in ('repr', 'eval', 'sorted', 'type', 'print', 'isinstance'):\n"
        "    setattr(builtins, name, lambda *a, **k: MARK)\n"
        "json.dumps = lambda *a, **k: '[0, true]'\n"
    ),
    "its own lines": (
        "import os\n"
        "for line in ('[0, true]', '[0, null]', '{}', '[' * 10 ** 4, '[0, \"?\"]', '[[0], 1]'):\n"
        "    os.write(1, line.encode() + b'\\n')\n"
        "os._exit(0)\n"
    ),
}


@pytest.mark.parametrize("name", SPIES)
async def test_the_right_answer_is_not_there_to_be_found(name: str, judge: Judge) -> None:
    program = f"MARK = 'the-right' + '-answer-'\nFOUND = []\n{SPIES[name]}\n"
    if "def find" not in program:
        program += "def find(): return FOUND[0] if FOUND else ''\n"
    verdict = await judge(program, (Called.of("find()", ANSWER),))
    assert verdict.share == 0, verdict
    verdict = await judge(f"{program}\nprint(*FOUND)", (Typed("", ANSWER),))
    assert verdict.share == 0, verdict
    honest = await judge(f"def find(): return {ANSWER!r}", (Called.of("find()", ANSWER),))
    assert honest.passed
    await eventually_async(running, equals=[])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0), (True, 1), (0.0, False), ([1, (2,)], [1.0, (2.0,)]), ({1, 2}, frozenset({2, 1})),
        ({"a": 1, "b": [2]}, {"b": [2.0], "a": True}), ([10**5000], [10**5000]), (-0.0, 0),
        (float("inf"), math.inf), ("é", "\u00e9"), (None, None), (b"a", b"a"), (set(), frozenset()),
    ],
)  # fmt: skip
def test_equal_values_have_equal_texts(one: object, other: object) -> None:
    assert one == other
    assert text_of(one) == text_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, "1"), ([1], (1,)), ([], {}), (set(), {}), ({1: 2}, {1: 3}), ("a", b"a"), (None, "None"),
        (1, 2), (0.1, 0.2), ([[1]], [1]), (["a,b"], ["a", "b"]), ("[1]", [1]), (1e308, math.inf),
        ({"a"}, {"a": ""}), ((), []),
    ],
)  # fmt: skip
def test_other_values_have_other_texts(one: object, other: object) -> None:
    assert one != other
    assert text_of(one) != text_of(other)


def test_what_is_deep_or_of_the_programs_own_kind_equals_nothing() -> None:
    deep: list[object] = []
    for _ in range(1000):
        deep = [deep]
    assert "?" in text_of(deep)
    assert text_of(object()) == "?object"
