"""Where problems come from: generated tasks, and small files of the public sets' own schemas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tinsmith.data import BadRow
from tinsmith.renderers import Ending, Parsed
from tinsmith_recipes.code_rl import data, tasks
from tinsmith_recipes.code_rl.env import CodeEnv, ExpressionEnv
from tinsmith_recipes.code_rl.judge import Called, Judge, Typed
from tinsmith_recipes.code_rl.sandbox import Limits, Sandbox
from tinsmith_recipes.code_rl.train import CodeRL
from tinsmith_recipes.training.rl import Outcome


def write(folder: Path, *rows: dict[str, Any]) -> str:
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


MBPP_FULL = {
    "task_id": 602,
    "text": "Write a python function to find the first repeated character in a given string.",
    "code": "def first_repeated_char(str1):\r\n  for index,c in enumerate(str1):\r\n    ...",
    "test_list": [
        'assert first_repeated_char("abcabc") == "a"',
        'assert first_repeated_char("abc") == None',
        'assert first_repeated_char("123123") == "1"',
    ],
    "test_setup_code": "",
    "challenge_test_list": [],
}
MBPP_SANITIZED = {
    "source_file": "Benchmark Questions Verification V2.ipynb",
    "task_id": 2,
    "prompt": "Write a function to find the shared elements from the given two lists.",
    "code": "def similar_elements(test_tup1, test_tup2):\n  return tuple(...)",
    "test_imports": ["import math"],
    "test_list": [
        "assert set(similar_elements((3, 4), (5, 4))) == set((4,))",
        "assert math.isclose(similar_elements(1, 2), 3, rel_tol=0.001)",
    ],
}
PRIME = {
    "problem": "Double the number.",
    "solutions": ["print(int(input())*2)"],
    "tests": json.dumps(
        [
            {"type": "stdin_stdout", "input": "1\n", "output": "2\n"},
            {"type": "function_call", "fn_name": "double", "input": [3], "output": [6]},
        ]
    ),
}
TACO = {
    "problem": "Double them.",
    "solutions": [],
    "tests": json.dumps({"inputs": [[[1, 2]], [[]]], "outputs": [[[2, 4]], [[]]], "fn_name": "d"}),
}
TACO_TYPED = {
    "problem": "Add.",
    "tests": json.dumps({"inputs": ["1 2\n", ["3", "4"]], "outputs": ["3\n", ["7"]]}),
}
LIVE = {
    "problem": "Sum the list.",
    "starter_code": "class Solution:\n    def total(self, a: List[int], k: int) -> int:\n        ",
    "metadata": {"func_name": "total"},
    "tests": json.dumps(
        [{"input": "[1, 2]\n3", "output": "6", "testtype": "functional", "metadata": None}]
    ),
}
LIVE_TYPED = {
    "problem": "Echo.",
    "starter_code": "",
    "metadata": "{}",
    "tests": json.dumps([{"input": "a\n", "output": "a", "testtype": "stdin"}] * 20),
}


def test_mbpp(tmp_path: Path) -> None:
    file = write(tmp_path, MBPP_FULL, MBPP_SANITIZED)
    problems, left_out = data.mbpp(file, None)
    assert problems[:1] == [
        data.Problem(
            f"{MBPP_FULL['text']}\nIt has to pass: {MBPP_FULL['test_list'][0]}",
            (
                Called("first_repeated_char('abcabc')", "'a'"),
                Called("first_repeated_char('abc')", "None"),
                Called("first_repeated_char('123123')", "'1'"),
            ),
        )
    ]
    assert [one.place for one in left_out] == [f"{file}:2"]
    assert "not of the form 'assert call == value': assert math.isclose" in left_out[0].reason
    row = {**MBPP_SANITIZED, "test_list": MBPP_SANITIZED["test_list"][:1]}
    ((problem,), _) = data.mbpp(write(tmp_path, row), None)
    assert problem.tests == (Called("set(similar_elements((3, 4), (5, 4)))", "{0x4}"),)


def test_the_imports_of_mbpps_tests_run_in_front(tmp_path: Path) -> None:
    row = {**MBPP_SANITIZED, "test_list": ["assert f(math.pi) == 3"]}
    ((problem,), _) = data.mbpp(write(tmp_path, row), None)
    assert problem.setup == "import math"
    env = CodeEnv(problem, None)  # type: ignore[arg-type]
    assert env.program("```python\ndef f(x): return 3\n```") == "import math\ndef f(x): return 3\n"


def test_deepcoder(tmp_path: Path) -> None:
    file = write(tmp_path, PRIME, TACO, TACO_TYPED, LIVE, LIVE_TYPED)
    problems, left_out = data.deepcoder(file, None)
    assert left_out == []
    prime, taco, taco_typed, live, live_typed = problems
    call = "(Solution().{0} if 'Solution' in globals() else {0})({1})"
    assert prime.tests == (Typed("1\n", "2\n"), Called(call.format("double", "3"), "0x6"))
    assert taco.tests == (
        Called(call.format("d", "[1, 2]"), "[0x2,0x4]"),
        Called(call.format("d", "[]"), "[]"),
    )
    assert taco_typed.tests == (Typed("1 2\n", "3\n"), Typed("3\n4", "7"))
    assert live.tests == (Called(call.format("total", "[1, 2], 3"), "0x6"),)
    assert "Begin with:\n```python\nclass Solution:" in live.question
    assert live_typed.tests == (Typed("a\n", "a"),) * 8


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("[]", "it has no tests"),
        ("no json", "Expecting value"),
        ('[{"type": "image"}]', "a test of type 'image'"),
        ('[{"testtype": "functional", "input": "1", "output": "1"}]', "no func_name"),
        ('[{"type": "function_call", "fn_name": "a; b", "input": [], "output": []}]', "no func"),
        ('{"inputs": [1], "outputs": []}', "shorter"),
    ],
)
def test_what_cannot_be_tested_is_left_out_aloud(tests: str, why: str, tmp_path: Path) -> None:
    file = write(tmp_path, {"problem": "?", "tests": tests}, PRIME)
    problems, left_out = data.deepcoder(file, None)
    assert len(problems) == 1
    assert why in left_out[0].reason
    found = data.public(
        data.deepcoder, (file, None), (write_other(tmp_path), None), held_out=9, most_tests=8
    )
    assert found.notes == (f"1 problems are left out, the first is {left_out[0]}",)


def write_other(folder: Path) -> str:
    other = folder / "other"
    other.mkdir(exist_ok=True)
    return write(other, LIVE_TYPED)


@pytest.mark.parametrize("read", [data.mbpp, data.deepcoder])
def test_other_columns_are_named_with_the_row(read: data.Read, tmp_path: Path) -> None:
    with pytest.raises(BadRow, match=r"jsonl:1: .*it has answer, question"):
        read(write(tmp_path, {"question": "?", "answer": "!"}), None)


def test_what_is_tested_is_not_learnt_from(tmp_path: Path) -> None:
    file = write(tmp_path, PRIME, TACO, LIVE)
    test = write_other(tmp_path)
    found = data.public(data.deepcoder, (file, None), (file, None), held_out=1, most_tests=8)
    assert [one.question for one in found.test] == ["Double the number."]
    assert "Double the number." not in {one.question for one in found.learn}
    with pytest.raises(ValueError, match="no problem beside those"):
        data.public(data.deepcoder, (test, None), (test, None), held_out=1, most_tests=8)


async def test_classes_and_functions_are_called_alike(sandbox: Sandbox, tmp_path: Path) -> None:
    problems, _ = data.deepcoder(write(tmp_path, LIVE, TACO), None)
    judge = Judge(sandbox, Limits())
    method = "class Solution:\n    def total(self, a, k): return sum(a) + k"
    assert (await judge(method, problems[0].tests)).passed
    assert (await judge("def total(a, k): return sum(a) + k", problems[0].tests)).passed
    assert (await judge("def d(a): return [2 * x for x in a]", problems[1].tests)).passed
    assert not (await judge("def d(a): return a", problems[1].tests)).passed


# ---- generated tasks

ONE = {task.question: task for task in tasks.one_step()}
SUM_DOUBLED = tasks.Task(
    "n",
    (
        ONE["Write code that adds 3 to n."].steps[0],
        ONE["Write code that doubles n."].steps[0],
    ),
)


async def test_every_tasks_solution_passes_and_the_naive_one_does_not(sandbox: Sandbox) -> None:
    judge = Judge(sandbox, Limits())
    chosen = [*tasks.one_step(), *tasks.two_steps(0)[::9]]
    for task in chosen:
        problem = data.problem_of(task)
        program = f"def f({problem.argument}):\n    return {task.solution}\n"
        assert (await judge(program, problem.tests)).passed, task
    precise = SUM_DOUBLED
    assert precise.solution == "(n+3)*2"
    verdict = await judge("def f(n): return n+3*2", data.problem_of(precise).tests)
    assert verdict.share == 0


def test_tasks_to_test_with_are_in_neither_of_the_others() -> None:
    for seed in range(3):
        shown, learn, test = tasks.split(100, 30, seed)
        assert len(test) == 100
        asked = {one.question for one in test}
        assert len(asked) == 100
        assert asked.isdisjoint({one.question for one in [*shown, *learn]})
        assert len(shown) == len(tasks.one_step()) + 30
        assert {one.question for one in shown[-30:]} <= {one.question for one in learn}
    assert tasks.split(100, 30, 0) == tasks.split(100, 30, 0)
    assert tasks.split(100, 30, 0)[2] != tasks.split(100, 30, 1)[2]
    with pytest.raises(ValueError, match="none would be left"):
        tasks.split(10_000, 0, 0)


def test_no_question_has_two_answers() -> None:
    found: dict[str, str] = {}
    for task in [*tasks.one_step(), *tasks.two_steps(0), *tasks.two_steps(1)]:
        assert found.setdefault(task.question, task.solution) == task.solution
    assert len(found) > 300


# ---- the environment


class Scripted:
    """A policy that says what it was told to."""

    def __init__(self, text: str, ending: Ending = Ending.STOP) -> None:
        self.text, self.ending = text, ending
        self.asked: Sequence[dict[str, str]] = ()

    async def __call__(self, messages: Sequence[dict[str, str]]) -> Parsed:
        self.asked = messages
        message = {"role": "assistant", "content": self.text}
        return SimpleNamespace(message=message, ending=self.ending)  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "reward", "parts"),
    [
        ("(n+3)*2", 1.0, {"correct": 1.0, "format": 1.0, "passed": 1.0}),
        ("n*2+6", 1.0, {"correct": 1.0}),
        ("n+3*2", 0.0, {"correct": 0.0, "wrong_output": 1.0}),
        ("n*2+6 if n > 11 else 9", 5 / 6, {"correct": 0.0, "passed": 1.0, "wrong_output": 1.0}),
        ("n+", 0.0, {"error": 1.0}),
        ("__import__('os').fork()", 0.0, {"forbidden_call": 1.0}),
        ("", -0.1, {"format": 0.0, "correct": 0.0}),
    ],
)
async def test_the_reward_is_the_share_of_tests_that_pass(
    text: str, reward: float, parts: dict[str, float], sandbox: Sandbox
) -> None:
    policy = Scripted(text)
    env = ExpressionEnv(data.problem_of(SUM_DOUBLED), Judge(sandbox, Limits()))
    outcome: Outcome = await env.play(policy)  # type: ignore[arg-type]
    assert policy.asked == [{"role": "user", "content": SUM_DOUBLED.question}]
    assert outcome.reward == pytest.approx(reward)
    assert parts.items() <= outcome.parts.items()


async def test_an_answer_without_an_end_or_a_block_costs(sandbox: Sandbox) -> None:
    problem = data.Problem("Write 1.", (Typed("", "1"),))
    env = CodeEnv(problem, Judge(sandbox, Limits()))
    good = "Here:\n```python\nprint(2)\n```\nor better\n```\nprint(1)\n```"
    said = [
        (await env.play(Scripted(text, ending))).reward  # type: ignore[arg-type]
        for text, ending in (
            (good, Ending.STOP),
            (good, Ending.CUT_OFF),
            ("print(1)", Ending.STOP),
        )
    ]
    assert said == [1.0, -0.1, -0.1]


def test_the_recipe_reads_local_files_of_public_sets(tmp_path: Path) -> None:
    file = write(tmp_path, PRIME, TACO, LIVE)
    recipe = CodeRL(problems="deepcoder", source=file, test_source=write_other(tmp_path))
    found = recipe.load()
    assert (len(found.learn), len(found.test), found.shown) == (3, 1, [])
    assert recipe.estimate().steps == recipe.steps
    assert CodeRL().estimate().steps == CodeRL().steps + CodeRL().show_steps
