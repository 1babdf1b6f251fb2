"""The first thing that a newcomer copies: README's program does what README says of it."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.conftest import REPOSITORY, LiveStack
from tests.contract.clients import user_environment


def test_readmes_program_ends_as_readme_says(live_stack: LiveStack) -> None:
    text = (REPOSITORY / "README.md").read_text()
    program = re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0]
    told = re.findall(r"It ends with `(.*?)`", text)[0]
    program = program.replace("http://127.0.0.1:8000", live_stack.url)
    program = program.replace("tml-…", live_stack.api_key)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=user_environment(live_stack.url, live_stack.api_key),
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == told
