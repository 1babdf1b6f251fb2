"""Chats and preferences from files and data sets, and what is said of bad rows."""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path
from typing import Any

import pytest

from tinsmith import data
from tinsmith.data import BadRow, load_chats, load_preferences, load_rows

CHAT = [{"role": "user", "content": "1 + 1?"}, {"role": "assistant", "content": "2"}]
SAID = [{"role": "assistant", "content": "3"}]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Writes rows, or lines as they are, to a jsonl file."""

    def written(*rows: Any, name: str = "chats.jsonl") -> Path:
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n")
        return path

    return written


def parquet(path: Path, rows: list[dict[str, Any]]) -> Path:
    import pyarrow
    import pyarrow.parquet

    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def test_rows_come_with_their_places(write: Any) -> None:
    path = write({"a": 1}, "", {"a": 2}, {"a": 3})
    assert list(load_rows(path)) == [
        (f"{path}:{line}", {"a": value}) for line, value in ((1, 1), (3, 2), (4, 3))
    ]
    assert len(list(load_rows(str(path), limit=2))) == 2


def test_chats_are_messages_or_prompts_with_completions(write: Any) -> None:
    path = write(
        {"messages": CHAT, "category": "Sums"},
        {"prompt": "1 + 1?", "completion": "2"},
        {"prompt": CHAT[:1], "completion": CHAT[1:]},
        {"messages": [{**CHAT[0], "tool_calls": None}, CHAT[1]], "prompt": None, "tools": []},
    )
    assert load_chats(path) == [CHAT] * 4
    assert len(load_chats(path, limit=3)) == 3
    assert load_chats(path, where=lambda row: row.get("category") == "Sums") == [CHAT]


def test_a_parquet_file_is_read_as_a_jsonl_file_is(write: Any, tmp_path: Path) -> None:
    """A table has every column in every row, also where it is empty."""
    parts = [{"type": "thinking", "thinking": "Hm"}, {"type": "text", "text": "2"}]
    thinks = {"role": "assistant", "content": parts}
    asks = {"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]}
    result = {"role": "tool", "content": "2", "tool_call_id": "add:0"}
    for number, chat in enumerate((CHAT, [asks, thinks], [CHAT[0], result])):
        path = parquet(tmp_path / f"{number}.parquet", [{"messages": chat}] * 2)
        assert load_chats(path) == load_chats(write({"messages": chat}, {"messages": chat}))
        assert load_chats(path, limit=1) == [chat]
    path = parquet(tmp_path / "bad.parquet", [{"messages": CHAT}, {"messages": CHAT[:0]}])
    with pytest.raises(BadRow, match=r"bad\.parquet row 2: messages is empty"):
        load_chats(path)


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"},
        {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": SAID},
        {"prompt": "1 + 1?", "chosen": CHAT, "rejected": [CHAT[0], *SAID]},
        {"chosen": CHAT, "rejected": [CHAT[0], *SAID], "score": 1.0},
    ],
)
def test_preferences_are_a_prompt_and_two_answers(write: Any, row: dict[str, Any]) -> None:
    ((prompt, chosen, rejected),) = load_preferences(write(row))
    assert (prompt, chosen, rejected) == (CHAT[:1], CHAT[1], SAID[0])


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("{", "no JSON"),
        ("[" * 5000, "no JSON"),
        ("[1]", "must be a JSON object, not a list"),
        ({"text": "a", "id": 3}, "a chat has 'messages', or .*; it has 'id', 'text'"),
        ({"conversations": []}, "make messages of it, with role"),
        ({"messages": []}, "messages is empty"),
        ({"messages": "Hi"}, "must be a list of them"),
        ({"messages": [{"role": "human", "content": "Hi"}]}, r"messages\[0\] has the role 'human'"),
        ({"messages": CHAT, "tools": [{}]}, "it has tools.* load_rows"),
        ({"prompt": "a", "completion": 3}, "'completion' must be a text or a list of messages"),
        ({"prompt": "a", "completion": []}, "'completion' must be a text or a list of messages"),
    ],
)
def test_a_bad_chat_is_told_by_file_line_and_reason(write: Any, row: Any, why: str) -> None:
    path = write({"messages": CHAT}, row, {"messages": CHAT})
    with pytest.raises(BadRow, match=why) as told:
        load_chats(path)
    assert told.value.place == f"{path}:2"
    assert str(told.value).startswith(f"{path}:2: ")
    skipped: list[BadRow] = []
    assert load_chats(path, skipped=skipped) == [CHAT, CHAT]
    assert [(bad.place, bad.reason) for bad in skipped] == [(told.value.place, told.value.reason)]
    assert str(pickle.loads(pickle.dumps(told.value))) == str(told.value)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"chosen": "2"}, "a preference has 'chosen' and 'rejected'"),
        ({"chosen": "2", "rejected": "3"}, "answers alone need a 'prompt'; it has 'chosen'"),
        ({"prompt": "a", "chosen": "2", "rejected": "2"}, "are the same"),
        ({"chosen": CHAT, "rejected": [*CHAT, *CHAT]}, "differ before their last message"),
        ({"chosen": [*CHAT, CHAT[0]], "rejected": [*CHAT, {**CHAT[0], "content": ""}]}, "must end"),
        ({"prompt": "a", "chosen": "2", "rejected": 1}, "'rejected' must be a text"),
    ],
)
def test_a_bad_preference_is_told_by_its_reason(write: Any, row: Any, why: str) -> None:
    with pytest.raises(BadRow, match=why):
        load_preferences(write(row))


def test_bytes_that_are_no_text_and_lines_without_an_end_are_bad_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bytes.jsonl"
    good = json.dumps({"messages": CHAT}).encode()
    path.write_bytes(b"\xef\xbb\xbf" + good + b'\n{"a": "\xff"}\n' + b" " * 5000 + b"\n" + good)
    monkeypatch.setattr(data, "LONGEST_LINE", 1000)
    skipped: list[BadRow] = []
    assert load_chats(path, skipped=skipped) == [CHAT, CHAT]
    assert [bad.place for bad in skipped] == [f"{path}:2", f"{path}:3"]
    assert "no JSON" in skipped[0].reason
    assert "longer than 1,000 bytes" in skipped[1].reason


def test_no_chat_at_all_and_too_many_are_told(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="holds no row that is wanted"):
        load_chats(write())
    with pytest.raises(ValueError, match="holds 2 bad rows and nothing else"):
        load_chats(write({}, {}), skipped=[])
    path = write(*[{"messages": CHAT}] * 3)
    monkeypatch.setattr(data, "MOST_ROWS", 2)
    with pytest.raises(ValueError, match="more than 2 rows; give limit="):
        load_chats(path)
    assert len(load_chats(path, limit=3)) == 3


@pytest.mark.parametrize(
    ("source", "options", "why"),
    [
        ("nowhere.jsonl", {}, "there is no file nowhere.jsonl"),
        ("nowhere.json", {}, "must be a file .jsonl or .parquet"),
        ("nowhere", {}, "'nowhere' is no file here, and no name of a data set such as owner/name"),
        (3, {}, "source must be a file's path or the name of a data set, not an int"),
        ("a/b", {"limit": 0}, "limit must be at least 1, not 0"),
        ("a/b", {"limit": "all"}, "limit must be a whole number, not text"),
    ],
)
def test_what_is_no_source_is_told_at_once(source: Any, options: Any, why: str) -> None:
    with pytest.raises((TypeError, ValueError), match=why):
        load_rows(source, **options)


def test_a_file_has_no_split_and_must_be_what_it_is_called(write: Any, tmp_path: Path) -> None:
    path = write({"messages": CHAT})
    with pytest.raises(ValueError, match="is one file and has no split 'test'"):
        load_rows(path, split="test")
    with pytest.raises(ValueError, match="is no parquet file"):
        load_rows(path.rename(tmp_path / "chats.parquet"))


def test_a_data_set_is_loaded_by_its_name(
    write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of that name stands for the hub's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "acme" / "chats"
    folder.mkdir(parents=True)
    rows = [{"messages": [CHAT[0], {**CHAT[1], "content": str(n)}]} for n in range(5)]
    write(*rows, name="acme/chats/train.jsonl")
    write(*rows[:2], name="acme/chats/test.jsonl")
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: main\n  data_files:\n"
        "  - split: train\n    path: train.jsonl\n"
        "  - split: test\n    path: test.jsonl\n---\n"
    )
    expected = [row["messages"] for row in rows]
    assert load_chats("acme/chats", limit=5) == expected
    assert load_chats("acme/chats:main", split="test", limit=2) == expected[:2]
    assert load_chats("acme/chats", split="train[1:3]") == expected[1:3]
    assert next(load_rows("acme/chats", limit=1))[0] == "acme/chats train row 1"
    with pytest.raises(ValueError, match="acme/chats, split tset: "):
        load_rows("acme/chats", split="tset", limit=1)


@pytest.mark.parametrize(
    ("module", "source", "extra"),
    [("pyarrow", "a.parquet", "parquet"), ("datasets", "acme/chats", "hub")],
)
def test_what_is_not_installed_is_named(
    module: str, source: str, extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.parquet").touch()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"pip install 'tinsmith\[{extra}\]'"):
        load_rows(source, limit=1)


def test_chats_tell_where_each_of_them_stands(write: Any) -> None:
    path = write({"messages": CHAT, "kind": "a"}, {"messages": []}, {"messages": CHAT, "kind": "b"})
    skipped: list[BadRow] = []
    places: list[str] = []
    load_chats(path, where=lambda row: row.get("kind") != "a", skipped=skipped, places=places)
    assert (places, [one.place for one in skipped]) == ([f"{path}:3"], [f"{path}:2"])
