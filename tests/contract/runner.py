"""Runs scenarios inside a client's own Python: `runner.py MODULE [FOLDER WITH TORCH]`.

One JSON request a line on standard input, one JSON answer a line on standard output. What clients
print goes to standard error. Only the standard library and numpy are sure to be there.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import traceback
import warnings
from typing import Any


def main() -> None:
    """Answer requests until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    # The public client names its own deprecations to users; they are no news here
    warnings.simplefilter("ignore", FutureWarning)
    sys.path.extend(sys.argv[2:])
    client = importlib.import_module(sys.argv[1])
    make_kit = importlib.import_module("scenarios.kit").Kit
    for line in sys.stdin:
        request = json.loads(line)
        answers.write(json.dumps(_answer(make_kit(client), request)) + "\n")
        answers.flush()


def _answer(kit: Any, request: dict[str, Any]) -> dict[str, Any]:
    module, _, name = request["scenario"].partition(".")
    try:
        scenario = getattr(importlib.import_module(f"scenarios.{module}"), name)
        return {"result": scenario(kit, **request["arguments"])}
    except BaseException:
        return {"traceback": traceback.format_exc()}
    finally:
        kit.close()


if __name__ == "__main__":
    main()
