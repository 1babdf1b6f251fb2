"""Prints, as JSON, what W&B's offline files in a folder would tell its server, run by run.

A program of its own because it runs where W&B is installed, whose messages the files hold.
"""

from __future__ import annotations

import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from wandb.proto import wandb_internal_pb2 as messages

MAGIC = b":W&B"
HEAD = 7  # of the file, and of each piece of a record
BLOCK = 32768
WHOLE, LAST = 1, 4


def records(content: bytes) -> Iterator[bytes]:
    """Its records; the format is that of LevelDB's logs."""
    assert content.startswith(MAGIC)
    at, record = HEAD, b""
    while at + HEAD <= len(content):
        if BLOCK - at % BLOCK < HEAD:
            at += BLOCK - at % BLOCK
            continue
        _, size, kind = struct.unpack_from("<IHB", content, at)
        record += content[at + HEAD : at + HEAD + size]
        at += HEAD + size
        if kind in (WHOLE, LAST):
            yield record
            record = b""


def told(file: Path) -> dict[str, Any]:
    """What a file says of its run."""
    found: dict[str, Any] = {"config": {}, "rows": [], "summary": {}, "exit": None}
    for record in records(file.read_bytes()):
        message = messages.Record()
        message.ParseFromString(record)
        if message.HasField("run"):
            run = message.run
            found |= {"id": run.run_id, "project": run.project, "group": run.run_group}
            found["name"] = run.display_name
            found["config"] |= _values(run.config.update)
        elif message.HasField("history"):
            found["rows"].append(_values(message.history.item))
        elif message.HasField("summary"):
            found["summary"] |= _values(message.summary.update)
        elif message.HasField("exit"):
            found["exit"] = message.exit.exit_code
    return found


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).rglob("*.wandb"))
    print(json.dumps([told(file) for file in files]))
