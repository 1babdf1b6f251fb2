"""Chats and preferences from files and from the hub, each row checked before anything is trained.

>>> file = temporary / "pairs.jsonl"
>>> pair = {"prompt": "Hello", "chosen": "Good day.", "rejected": "What?"}
>>> _ = file.write_text(json.dumps(pair))
>>> for prompt, chosen, rejected in load_preferences(file):
...     print(chosen["content"])
Good day.

``load_chats("HuggingFaceH4/no_robots", limit=1000)`` asks the hub. A row that is wrong is told by
its file, its line and the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from tinsmith._words.mistakes import title_of, unlike, whole
from tinsmith.renderers.messages import ROLES, check

Messages = list[dict[str, Any]]
Row = dict[str, Any]
Where = Callable[[Row], bool]
Kind = TypeVar("Kind")

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of a line of a jsonl file, beyond which it is refused."""
MOST_ROWS = 1_000_000
"""How many chats or preferences are loaded at most; they are held in memory."""

_FILES = (".jsonl", ".parquet")
# What is surely meant for a file, and no name of a data set
_NO_FILES = (".json", ".csv", ".tsv", ".txt", ".gz", ".zst", ".xz", ".zip", ".arrow")


class BadRow(ValueError):
    """A row that is no chat, or no preference: ``place`` says where it stands, ``reason`` why."""

    def __init__(self, place: str, reason: str) -> None:
        super().__init__(f"{place}: {reason}")
        self.place = place
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.place, self.reason)


Found = tuple[str, Row] | BadRow


class Preference(NamedTuple):
    """Two answers to one prompt, each a message of the assistant's."""

    prompt: Messages
    chosen: dict[str, Any]
    rejected: dict[str, Any]


def load_rows(
    source: str | Path, *, split: str | None = None, limit: int | None = None
) -> Iterator[tuple[str, Row]]:
    """Rows as they stand, each with its place (file and line), one at a time.

    Args:
        source: a file ``.jsonl`` or ``.parquet`` (which needs ``tinsmith[parquet]``); or a data set
            of the hub, or a folder of one, as ``owner/name`` or ``owner/name:configuration`` (which
            needs ``tinsmith[hub]``).
        split: of a data set of the hub, ``train`` unless it is said; files have none.
        limit: how many rows at most. Of the hub no more than these are fetched.

    Raises:
        ValueError: no such source, or not one of these; BadRow, a line that is no JSON object.
        ImportError: what it needs is not installed.
    """
    rows = _rows(source, split, limit)

    def good() -> Iterator[tuple[str, Row]]:
        for row in islice(rows, limit):
            if isinstance(row, BadRow):
                raise row
            yield row

    return good()


def load_chats(
    source: str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    where: Where | None = None,
    skipped: list[BadRow] | None = None,
    places: list[str] | None = None,
) -> list[Messages]:
    """Chats, as ``Datum.from_messages`` and renderers take them.

    Args:
        source, split: as ``load_rows`` takes them. A row has ``messages`` in OpenAI's form, or
            ``prompt`` and ``completion``, each a text or a list of messages.
        limit: how many chats at most.
        where: which rows are wanted, e.g. ``lambda row: row["category"] == "Coding"``.
        skipped: a list that bad rows are put into; without one the first of them is raised.
        places: a list that the place of each chat is put into, its file and line.

    Raises:
        BadRow: a row that is no chat; the text names file, line and reason.
        ValueError: there is no chat at all, or there are more than MOST_ROWS.
    """
    return _loaded(chat_of, source, split, limit, where, skipped, places)


def load_preferences(
    source: str | Path,
    *,
    split: str | None = None,
    limit: int | None = None,
    where: Where | None = None,
    skipped: list[BadRow] | None = None,
) -> list[Preference]:
    """Pairs of answers: (prompt, chosen, rejected).

    Args:
        source, split, limit, where, skipped: as ``load_chats`` takes them. A row has ``chosen`` and
            ``rejected``: whole chats that differ in their last message, or the answers alone and
            ``prompt``; each a text or a list of messages.

    Raises:
        BadRow, ValueError: as ``load_chats``.
    """
    return _loaded(preference_of, source, split, limit, where, skipped)


def chat_of(row: Row) -> Messages:
    """The chat that a row is.

    Raises:
        TypeError, ValueError: it is none; the text says why.
    """
    if row.get("tools"):
        raise ValueError(
            "it has tools, which messages alone do not tell: take load_rows, and give tools= to "
            "the renderer"
        )
    if row.get("messages") is not None:
        messages = row["messages"]
    elif row.get("prompt") is not None and row.get("completion") is not None:
        messages = [
            *_said(row, "prompt", "user"),
            *_said(row, "completion", "assistant"),
        ]
    else:
        raise _lacks(row, "a chat has 'messages', or 'prompt' and 'completion'")
    return _checked(messages)


def preference_of(row: Row) -> Preference:
    """The prompt and the two answers that a row is.

    Raises:
        TypeError, ValueError: it is none; the text says why.
    """
    if row.get("chosen") is None or row.get("rejected") is None:
        raise _lacks(row, "a preference has 'chosen' and 'rejected', and 'prompt' beside texts")
    chosen, rejected = (_said(row, key, "assistant") for key in ("chosen", "rejected"))
    if len(chosen) == len(rejected) == 1:
        if row.get("prompt") is None:
            raise _lacks(row, "answers alone need a 'prompt'")
        prompt = _said(row, "prompt", "user")
        chosen, rejected = [*prompt, *chosen], [*prompt, *rejected]
    chosen, rejected = _checked(chosen), _checked(rejected)
    if chosen[:-1] != rejected[:-1]:
        raise ValueError("chosen and rejected differ before their last message")
    if not chosen[-1]["role"] == rejected[-1]["role"] == "assistant":
        raise ValueError("chosen and rejected must end with a message of the assistant's")
    if chosen[-1] == rejected[-1]:
        raise ValueError("chosen and rejected are the same")
    return Preference(chosen[:-1], chosen[-1], rejected[-1])


def _loaded(
    read: Callable[[Row], Kind],
    source: str | Path,
    split: str | None,
    limit: int | None,
    where: Where | None,
    skipped: list[BadRow] | None,
    places: list[str] | None = None,
) -> list[Kind]:
    found: list[Kind] = []
    bad = 0
    for row in _rows(source, split, limit):
        if len(found) == (limit or MOST_ROWS):
            raise ValueError(f"{source} holds more than {MOST_ROWS:,} rows; give limit=")
        item = row if isinstance(row, BadRow) else _read(read, where, *row)
        if not isinstance(item, BadRow):
            found += item
            if places is not None and not isinstance(row, BadRow):
                places += [row[0]] * len(item)
        elif skipped is None:
            raise item
        else:
            skipped.append(item)
            bad += 1
        if len(found) == limit:
            break
    if not found:
        words = f"{bad} bad rows and nothing else" if bad else "no row that is wanted"
        raise ValueError(f"{source} holds {words}")
    return found


def _read(
    read: Callable[[Row], Kind], where: Where | None, place: str, row: Row
) -> list[Kind] | BadRow:
    """What a row is, or nothing if it is not wanted."""
    if where is not None and not where(row):
        return []
    try:
        return [read(row)]
    except (TypeError, ValueError) as error:
        return BadRow(place, str(error))


# ---- a row's messages


def _said(row: Row, key: str, role: str) -> Messages:
    """Messages of a column: a list of them, or the text of one."""
    value = row[key]
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    if isinstance(value, list) and value:
        return value
    raise TypeError(f"{key!r} must be a text or a list of messages, not {title_of(value)}")


def _checked(messages: Any) -> Messages:
    """Messages without their empty fields, which tables have in every row."""
    if isinstance(messages, list):
        messages = [_filled(message) for message in messages]
    check(messages)
    found: Messages = messages
    return found


def _filled(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    found = {key: item for key, item in value.items() if item is not None}
    if isinstance(found.get("content"), list):
        found["content"] = [_filled(part) for part in found["content"]]
    return found


def _lacks(row: Row, wanted: str) -> ValueError:
    columns = sorted(key for key, value in row.items() if value is not None)
    hint = ""
    if "conversations" in columns or "conversation" in columns:
        hint = f"; make messages of it, with role ({', '.join(ROLES)}) and content"
    return ValueError(f"{wanted}; it has {', '.join(map(repr, columns[:12])) or 'nothing'}{hint}")


# ---- sources


def _rows(source: str | Path, split: str | None, limit: int | None) -> Iterator[Found]:
    """Every row of a source, good or bad."""
    if not isinstance(source, str | Path):
        raise unlike("source", "a file's path or the name of a data set", source)
    if limit is not None and whole("limit", limit) < 1:
        raise ValueError(f"limit must be at least 1, not {limit}")
    path = Path(source)
    if path.is_file() or path.suffix in (*_FILES, *_NO_FILES):
        return _of_file(path, split)
    if path.is_dir() or _is_hub_name(str(source)):
        # Of a stream no more is fetched than is read; a part of a split, train[:100], it cannot be
        is_stream = limit is not None and "[" not in (split or "")
        return _of_hub(str(source), split or "train", is_stream)
    raise ValueError(
        f"{str(source)!r} is no file here, and no name of a data set such as owner/name"
    )


def _is_hub_name(source: str) -> bool:
    name = source.partition(":")[0]
    return name.count("/") == 1 and all(name.split("/")) and name[0] not in ".~"


def _of_file(path: Path, split: str | None) -> Iterator[Found]:
    if path.suffix not in _FILES:
        raise ValueError(f"{path} must be a file {' or '.join(_FILES)}")
    if split is not None:
        raise ValueError(f"{path} is one file and has no split {split!r}")
    if not path.is_file():
        raise ValueError(f"there is no file {path}")
    return _of_jsonl(path) if path.suffix == ".jsonl" else _of_parquet(path)


def _of_jsonl(path: Path) -> Iterator[Found]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(LONGEST_LINE + 1):
            number += 1
            place = f"{path}:{number}"
            if len(line) > LONGEST_LINE:
                yield BadRow(place, f"the line is longer than {LONGEST_LINE:,} bytes")
                while line and not line.endswith(b"\n"):
                    line = file.readline(LONGEST_LINE + 1)
            elif line.strip():
                yield _object(place, line)


def _object(place: str, line: bytes) -> Found:
    try:
        found = json.loads(line.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return BadRow(place, f"no JSON: {error}")
    if not isinstance(found, dict):
        return BadRow(place, f"a row must be a JSON object, not {title_of(found)}")
    return place, found


def _of_parquet(path: Path) -> Iterator[Found]:
    try:
        from pyarrow import ArrowInvalid
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise ImportError(f"{path} needs pyarrow: pip install 'tinsmith[parquet]'") from None
    try:
        file = ParquetFile(path)
    except ArrowInvalid as error:
        raise ValueError(f"{path} is no parquet file: {error}") from None

    def rows() -> Iterator[Found]:
        number = 0
        with file:
            for batch in file.iter_batches(batch_size=256):
                for row in batch.to_pylist():
                    number += 1
                    yield f"{path} row {number}", row

    return rows()


def _of_hub(source: str, split: str, is_stream: bool) -> Iterator[Found]:
    try:
        import datasets
    except ImportError:
        raise ImportError(f"{source} needs datasets: pip install 'tinsmith[hub]'") from None
    name, _, configuration = source.partition(":")
    try:
        found = datasets.load_dataset(name, configuration or None, split=split, streaming=is_stream)
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(f"{source}, split {split}: {error}") from error

    def rows() -> Iterator[Found]:
        for number, row in enumerate(found, 1):
            yield f"{source} {split} row {number}", dict(row)

    return rows()
