"""Tests wait for states (`tests/support/waiting.py`), not for times; what sleeps all the same."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.conftest import REPOSITORY

TESTS = REPOSITORY / "tests"
# file: (how many, why). Programs that tests write for other processes are text and do not count.
ALLOWED = {
    "support/waiting.py": (4, "here is where tests wait"),
    "sdk/stub.py": (2, "a scripted server takes its time, and holds a poll"),
    "sdk/test_http1.py": (1, "a scripted server takes its time"),
    "platform/openai_api/conftest.py": (2, "a worker looks for work, and speaks with pauses"),
    "platform/reference/conftest.py": (1, "a worker looks for work"),
    "platform/operations/test_claims.py": (1, "a race is tried at many distances"),
    "platform/core/test_protocol.py": (2, "a client drips, and one has a request under way"),
    "platform/accounts/test_sign_in.py": (2, "a hash is made slow, and a check takes its time"),
    "gpu_workers/log/test_recovery.py": (1, "a part is made slow on purpose"),
    "contract/scenarios/pressure.py": (3, "runs where only a client is installed"),
}


def sleeps(path: Path) -> int:
    """How many calls of `….sleep(…)` a file makes; `sleep(0)` only lets others go first."""
    return sum(
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "sleep"
        and not (isinstance(node.args[0], ast.Constant) and node.args[0].value == 0)
        for node in ast.walk(ast.parse(path.read_text()))
    )


def test_tests_wait_for_states_and_not_for_times() -> None:
    found = {
        path.relative_to(TESTS).as_posix(): count
        for path in sorted(TESTS.rglob("*.py"))
        if "benchmarks" not in path.parts and (count := sleeps(path))  # scripts, no tests
    }
    allowed = {name: count for name, (count, _) in ALLOWED.items()}
    assert found == allowed, "use `eventually` or `never` of tests/support/waiting.py"
