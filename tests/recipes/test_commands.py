"""What the recipes add to the command line, without a server: what is refused, and how."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tinsmith.cli.main import main
from tinsmith_recipes.training.command import installed


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No server, no key, and a folder of one's own to run in."""
    for name in ("TINSMITH_BASE_URL", "TINSMITH_API_KEY", "TINKER_BASE_URL", "TINKER_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(words)
    out, err = capsys.readouterr()
    return code, out, err


def test_list_names_every_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = said(capsys, "recipes", "list")
    assert (code, [line.split()[0] for line in out.splitlines()]) == (0, list(installed()))
    code, out, _ = said(capsys, "recipes", "list", "--json")
    assert [one["name"] for one in json.loads(out)] == list(installed())


def test_show_tells_every_setting_in_words_and_as_a_schema(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = said(capsys, "recipes", "show", "chat_sl")
    assert "  too_long=cut\n      Where an example is longer" in out
    _, out, _ = said(capsys, "recipes", "show", "chat_sl", "--json")
    assert json.loads(out)["schema"]["properties"]["too_long"]["enum"] == ["cut", "skip", "refuse"]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        ("recipes show pig_latn", 1, "no recipe 'pig_latn'; did you mean pig_latin?"),
        ("recipes run pig_latn", 1, "no recipe 'pig_latn'; did you mean pig_latin?"),
        ("recipes prove pig_latn", 1, "no recipe 'pig_latn'; did you mean pig_latin?"),
        ("recipes run pig_latin step=3", 2, "pig_latin has no setting 'step'; did you mean steps?"),
        ("recipes run pig_latin xyz=3", 2, "pig_latin has no setting 'xyz'; there are base_model"),
        ("recipes run pig_latin steps", 2, "'steps' is no key=value"),
        ("recipes run pig_latin steps=0", 2, "steps=0 is out of range: at least 1"),
        ("recipes run pig_latin rank=x", 2, "pig_latin: Could not cast 'x' to int"),
        ("train chats.jsonl", 1, "--model says which base model is tuned"),
        ("train chats.jsonl --model m tran_on=a", 2, "'tran_on'; did you mean train_on?"),
        ("train chats.jsonl train_on=all --model m", 2, "chat_sl: Could not cast 'all'"),
        ("eval m --on plurals", 1, "there is no set 'plurals'; did you mean plural?"),
        ("eval m --on inspect:task.py", 1, "pip install 'tinsmith-recipes[inspect]'"),
        ("eval m --on none.jsonl", 1, "there is no file none.jsonl"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_run(
    words: str, code: int, why: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found, out, err = said(capsys, *words.split())
    assert (found, out) == (code, "")
    assert why in err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["recipes prove --seeds 0", "eval m", "eval m --on general --limit 0", "train"]
)
def test_what_cannot_be_understood_ends_with_status_2(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = said(capsys, *words.split())
    assert (code, out) == (2, "")
    assert "usage: tinsmith" in err


def test_a_server_that_is_away_is_told_of(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "chats.jsonl").write_text(
        '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    )
    words = ["train", "chats.jsonl", "--model", "m"]
    code, _, err = said(capsys, *words)
    assert code == 1
    assert "API key" in err
