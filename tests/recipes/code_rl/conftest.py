"""A sandbox for every test, and a witness that nothing outside it has changed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from tests.recipes.code_rl.outside import HONEST, Outside, outside, running
from tests.support.waiting import eventually_async
from tinsmith_recipes.code_rl.sandbox import Limits, Outcome, Sandbox, SandboxUnavailable

Attempt = Callable[..., Awaitable[Outcome]]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox of two programs at once; skips aloud where the kernel cannot have one."""
    try:
        async with Sandbox(concurrency=2) as ready:
            yield ready
    except SandboxUnavailable as reason:
        pytest.skip(f"NOT TESTED, programs cannot be kept apart here: {reason}")


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Outside]:
    """What is attacked."""
    with outside(tmp_path) as attacked:
        yield attacked


@pytest.fixture
def attempt(sandbox: Sandbox, here: Outside) -> Attempt:
    """Run an attacking program; the world must be as before, and an honest program must pass."""

    async def attempt(program: str, limits: Limits | None = None, stdin: str = "") -> Outcome:
        before = here.state()
        outcome = await sandbox.run(program, stdin, limits)
        assert here.state() == before
        await eventually_async(running, equals=[])
        honest = await sandbox.run(HONEST, "21")
        assert (honest.finished, honest.stdout) == (True, "42\n")
        return outcome

    return attempt
