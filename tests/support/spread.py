"""How a run of the tests in several processes (`pytest -n`) is spread over them.

The tests of a file stay in one process, for they share what is dear to make; so do those of the
files that `TOGETHER` names. A free process takes the next group, the longest first: a long one that
begins last would run on alone.
"""

from __future__ import annotations

import pytest
from xdist.scheduler.loadscope import LoadScopeScheduling

# beginnings of paths, and why their tests run in one process
TOGETHER = {
    # pytest goes client by client through them, each in one process of its own
    "clients": (
        "tests/contract/test_checkpoints.py",
        "tests/contract/test_mistakes.py",
        "tests/contract/test_sampling.py",
        "tests/contract/test_training.py",
    ),
    # one mounts a file system, the others watch that nothing on the machine changes
    "mounts": ("tests/faults/test_full_disk.py", "tests/recipes/code_rl/"),
    # they look at one run that really trains
    "pages": ("tests/e2e/",),
}
# groups and beginnings of paths; the rest follows in its usual order
LONGEST = (
    "tests/recipes/test_prove_live.py",
    "tests/faults/test_load.py",
    "clients",
    "mounts",
    "pages",
    "tests/contract/",
    "tests/recipes/",
    "tests/house/",
    "tests/gpu_workers/",
)


class InGroups(LoadScopeScheduling):
    """Hands out whole groups, in the order in which the tests are collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """The group of a test: all of them run in one process, one after another."""
    path = nodeid.partition("::")[0]
    for name, beginnings in TOGETHER.items():
        if path.startswith(beginnings):
            return name
    return path


def longest_first(items: list[pytest.Item]) -> list[pytest.Item]:
    """The tests, those of the longest groups first; within a group as they were."""
    return sorted(items, key=lambda item: _place(group_of(item.nodeid)))


def _place(group: str) -> int:
    for place, beginning in enumerate(LONGEST):
        if group.startswith(beginning):
            return place
    return len(LONGEST)
