"""Tutorials: Python scripts whose comments in `# %% [markdown]` cells are the page's prose."""

from __future__ import annotations

import re

_CELL = re.compile(r"^# %%(.*)$", re.MULTILINE)
_PROSE = "[markdown]"


def as_markdown(script: str) -> str:
    """A script in percent form as Markdown; what is no prose is Python code.

    What stands before the first cell is for whoever reads the file, not the page.
    """
    _, *parts = _CELL.split(script)
    shown = []
    for kind, body in zip(parts[::2], parts[1::2], strict=True):
        if kind.strip() == _PROSE:
            shown.append(re.sub(r"^# ?", "", body.strip("\n"), flags=re.MULTILINE))
        elif code := body.strip("\n"):
            shown.append(f"```python\n{code}\n```")
    return "\n\n".join(shown) + "\n"
