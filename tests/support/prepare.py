"""Makes every Python of its own that tests ask for, in the order in which they come to ask.

`python -m tests.support.prepare` beside a whole run of the tests spares them most of the waiting
for installers. What fails here is tried again, and told, by the test that needs it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress

from tests.contract.clients import OLDER, PUBLIC
from tests.contract.cookbook import COOKBOOK
from tests.contract.test_harmony import HARMONY
from tests.contract.test_mistral import MISTRAL
from tests.contract.test_renderers import templates
from tests.recipes.environment import packages
from tests.recipes.training.test_wandb import wandb_python

PYTHONS: tuple[Callable[[], object], ...] = (
    PUBLIC.python,
    *(release.python for release in OLDER),
    COOKBOOK.python,
    HARMONY.python,
    MISTRAL.python,
    templates,
    packages.python,
    wandb_python,
)

if __name__ == "__main__":
    for make in PYTHONS:
        with suppress(subprocess.CalledProcessError):
            make()
