"""`tinsmith render`: tokens with what is learnt, in a terminal, as a page, as JSON."""

from __future__ import annotations

import html
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.sdk.stub import BASE_MODEL, Stub
from tests.sdk.test_tokenizers import nano_files
from tests.support.chats import NANO, nano
from tinsmith import renderers
from tinsmith.cli.main import main
from tinsmith.renderers import shown

USER = {"role": "user", "content": "Grüße\n🙂 <b>&"}
SAID = {"role": "assistant", "content": "Hello.\x1b[2J"}
ROWS = [
    {"messages": [USER, SAID]},
    {"prompt": "1 + 1?", "chosen": "2", "rejected": "3"},
    {"messages": [USER, SAID, {"role": "user", "content": "?"}, SAID]},
    {"messages": [{"role": "human", "content": "Hi"}]},
]
QWEN = ("--model", str(NANO / "nano-qwen3"))
WITH_SERVER = ("--api-key", "tml-x", "--base-url")


@pytest.fixture
def chats(tmp_path: Path) -> str:
    path = tmp_path / "chats.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return str(path)


def example(row: int) -> renderers.Example:
    return renderers.for_model(NANO / "nano-qwen3").example(ROWS[row]["messages"])


def test_what_is_learnt_stands_between_marks(
    chats: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", chats, *QWEN]) == 0
    heading, said = capsys.readouterr().out.split("\n", 1)
    made = example(0)
    learnt = int(sum(made.weights))
    assert heading == f"{chats}:1, qwen3_instruct: {len(made.tokens)} tokens, {learnt} learnt"
    assert said == (
        "<|im_start|>user⏎\nGrüße⏎\n🙂 <b>&<|im_end|>⏎\n<|im_start|>assistant⏎\n"
        "⟦Hello.�[2J<|im_end|>⟧\n"
    )


def test_a_row_is_chosen_and_what_is_learnt_in_it(
    chats: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["render", chats, *QWEN, "--row", "3", "--train-on", "all_assistant_messages"]
    assert main(given) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{chats}:3, qwen3_instruct")
    assert out.count("⟦Hello.") == out.count("⟦") == 2
    assert main(["render", chats, *QWEN, "--row", "2"]) == 0
    out = capsys.readouterr().out
    assert re.search(r":2 chosen, .*⟦2<.*:2 rejected, .*⟦3<", out, re.DOTALL)


def test_several_examples_are_each_shown(chats: str, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["render", chats, *QWEN, "--renderer", "qwen3", "--row", "3"]
    assert main([*given, "--train-on", "all_assistant_messages"]) == 0
    out = capsys.readouterr().out
    assert ":3 example 1 of 2, qwen3: " in out
    assert ":3 example 2 of 2, qwen3: " in out


def test_a_terminal_shows_colours_and_no_marks(
    chats: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert main(["render", chats, *QWEN]) == 0
    said = capsys.readouterr().out
    assert "⟦" not in said
    assert "\x1b[2J" not in said
    assert re.search(r"\x1b\[(1;)?32m<\|im_end\|>\x1b\[0m\n$", said)
    assert said.partition("assistant")[0].count("\x1b[32m") == 0
    monkeypatch.setenv("NO_COLOR", "1")
    assert main(["render", chats, *QWEN]) == 0
    said = capsys.readouterr().out
    assert "\x1b" not in said
    assert "⟧" in said


def test_a_page_shows_every_token_and_runs_nothing(
    chats: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "page.html"
    assert main(["render", chats, *QWEN, "--html", str(file)]) == 0
    assert f"wrote {file}" in capsys.readouterr().out
    page = file.read_text()
    assert "<script" not in page
    assert "http" not in page
    span = r'<span( class="learnt")? title="([\d ]+), weight (\d)">(.*?)</span>'
    spans = re.findall(span, page, re.DOTALL)
    made = example(0)
    assert [int(token) for span in spans for token in span[1].split()] == made.tokens
    weights = [float(span[2]) for span in spans for _ in span[1].split()]
    assert weights == made.weights
    assert all(bool(span[0]) is (span[2] == "1") for span in spans)
    text = html.unescape(re.sub(r"</?i>|⏎", "", "".join(span[3] for span in spans)))
    assert text == nano("nano-qwen3").decode(made.tokens).replace("\x1b", "�")


def test_letters_of_several_tokens_are_one_part() -> None:
    renderer = renderers.for_model(NANO / "nano-qwen3")
    tokens = renderer.vocabulary.encode("a🙂b")
    assert len(tokens) > 3
    found = shown.parts(renderers.Example(tokens, [1.0] * len(tokens)), renderer)
    assert [part.text for part in found] == ["a", "🙂", "b"]
    half = shown.parts(renderers.Example(tokens, [0.0, 0.0] + [1.0] * (len(tokens) - 2)), renderer)
    assert [token for part in half for token in part.tokens] == tokens
    assert all(part.weight == 1.0 for part in half[2:])


def test_programs_get_tokens_weights_and_texts(
    chats: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", chats, *QWEN, "--json"]) == 0
    (made,) = json.loads(capsys.readouterr().out)["examples"]
    expected = example(0)
    assert (made["tokens"], made["weights"]) == (expected.tokens, expected.weights)
    assert made["texts"][0] == "<|im_start|>"


def test_the_servers_tokenizer_is_taken(
    chats: str,
    stub: Stub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TINSMITH_CACHE_DIR", str(tmp_path))
    stub.tokenizer_files = nano_files()
    given = ["render", chats, "--model", BASE_MODEL, *WITH_SERVER, stub.url]
    assert main([*given, "--renderer", "qwen3_instruct"]) == 0
    assert "⟦Hello." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ([], "give --model, or --renderer and --tokenizer"),
        (["--tokenizer", str(NANO / "nano-qwen3")], "--tokenizer alone names no renderer"),
        ([*QWEN, "--row", "9"], "has no row 9"),
        ([*QWEN, "--row", "4"], "chats.jsonl:4: messages[0] has the role 'human'"),
        ([*QWEN, "--train-on", "all"], "there is no train_on 'all'"),
        ([*QWEN, "--renderer", "llama3"], "its model is none of llama3"),
    ],
)
def test_what_cannot_be_shown_is_told(
    chats: str, given: list[Any], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["render", chats, *given]) == 1
    assert why in capsys.readouterr().err
