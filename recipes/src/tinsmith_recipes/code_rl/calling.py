"""Runs in a jail: calls what a solution defines, and writes each value as a text.

Beside it lie `solution.py`, `calls.json` (expressions, each to be evaluated where the solution was)
and the text of `values.py`. It knows no answers. Never imported.
"""

import json
import sys


def _read(name: str) -> str:
    with open(f"/box/{name}", encoding="utf-8") as file:
        return file.read()


def _run() -> None:
    values: dict[str, object] = {"__name__": "values"}
    exec(compile(_read("values.py"), "values.py", "exec"), values)
    text_of = values["text_of"]
    out, sys.stdout = sys.stdout, sys.stderr  # what a solution prints is no answer
    solution: dict[str, object] = {"__name__": "solution"}
    exec(compile(_read("solution.py"), "solution.py", "exec"), solution)
    for number, call in enumerate(json.loads(_read("calls.json"))):
        try:
            answer = text_of(eval(call, solution))  # type: ignore[operator]
        except Exception as error:
            answer = f"!{type(error).__name__}: {error}"[:200]
        print(json.dumps([number, answer]), file=out, flush=True)


_run()
