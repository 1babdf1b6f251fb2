"""Text of tokens: streamed, whole and decoded by the tokenizer are the same, for any tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from gpu_workers import nano
from openai_api.detokenizer import Detokenizer, ShownToken
from openai_api.vocabulary import NoTokenizer, Vocabulary
from tests.platform.openai_api import tokenizers_of_all_kinds as kinds

NANO = ("nano-qwen3", "nano-llama3")
WORDS = {name: Vocabulary(nano.folder(name)) for name in NANO}
WORDS |= {name: Vocabulary(kinds.write(name)) for name in kinds.NAMES}
PIECES = {name: kinds.make(name).get_vocab_size() for name in kinds.NAMES} | dict.fromkeys(
    NANO, 450
)
RUNS = ("llama2", "gemma", "three spaces less")
# bytes of which many sequences are characters, and many are not
SHARP = [0xFF, 0xF0, 0x9F, 0x98, 0x80, 0xE2, 0x82, 0xAC, 0xC3, 0xA9, 0xED, 0xA0, 0x20, 0x41, 0x00]


@st.composite
def sequences(draw: st.DrawFn) -> tuple[str, list[int]]:
    """A tokenizer, and any tokens of it: random ones, sharp bytes, and characters."""
    name = draw(st.sampled_from(sorted(WORDS)))
    words = WORDS[name]
    byte = st.sampled_from(SHARP) | st.integers(0, 255)
    parts = (
        st.lists(st.integers(0, PIECES[name] + 3), max_size=6)
        | st.lists(byte.map(lambda value: _byte(name, value)), max_size=6)
        | st.text(" ▁ab😀éx", max_size=6).map(lambda text: words.encode(text, special=False))
    )
    return name, [token for part in draw(st.lists(parts, max_size=6)) for token in part]


def _byte(name: str, value: int) -> int:
    """The token that is a byte, where the tokenizer has such."""
    words = WORDS[name]
    if name in NANO:
        return next(token for token in range(256) if words.bytes_of(token) == bytes([value]))
    if name in ("unigram", "wordpiece"):
        return value % PIECES[name]
    return 1 + value


def whole_of(name: str, tokens: list[int]) -> tuple[str, list[ShownToken]]:
    """The text and its tokens, told at once."""
    told = Detokenizer(WORDS[name], [])
    told.feed(tokens)
    piece = told.take(final=True)
    return piece.text, piece.tokens


@settings(max_examples=1500, deadline=None)
@given(sequences(), st.lists(st.integers(1, 4), max_size=30))
def test_streamed_text_whole_text_and_the_tokenizers_are_equal(
    sequence: tuple[str, list[int]], cuts: list[int]
) -> None:
    name, tokens = sequence
    expected, shown = whole_of(name, tokens)
    assert expected == WORDS[name].decode(tokens)

    told, rest = Detokenizer(WORDS[name], []), tokens
    text, streamed = "", list[ShownToken]()
    for cut in [*cuts, len(tokens) + 1]:
        told.feed(rest[:cut])
        rest = rest[cut:]
        piece = told.take()
        text, streamed = text + piece.text, streamed + piece.tokens
        assert expected.startswith(text)
    last = told.take(final=True)
    assert (text + last.text, streamed + last.tokens) == (expected, shown)


@settings(max_examples=800, deadline=None)
@given(sequences())
def test_offsets_say_where_each_tokens_text_begins(sequence: tuple[str, list[int]]) -> None:
    name, tokens = sequence
    text, shown = whole_of(name, tokens)
    offsets = [token.offset for token in shown]
    assert offsets == sorted(offsets)
    assert all(0 <= offset <= len(text) for offset in offsets)
    # all tokens of a run of byte tokens begin where it does
    has_runs = name in RUNS and any(1 <= token <= 256 for token in tokens)
    for place, token in enumerate(shown):
        # what was settled before a token stays in front of it
        before = WORDS[name].decode(tokens[: token.position])
        assert text[: token.offset] == before[: token.offset]
        own = WORDS[name].decode(tokens[: token.position + 1])
        if place + 1 < len(shown) and "\ufffd" not in own and not has_runs:
            assert shown[place + 1].offset == len(own)


def test_bytes_that_are_no_character_are_told_once() -> None:
    words = WORDS["nano-qwen3"]
    tokens = [_byte("nano-qwen3", value) for value in b"\xff\xf0\x9f\x98\x80"]
    told = Detokenizer(words, [])
    pieces = []
    for token in tokens:
        told.feed([token])
        pieces.append(told.take().text)
    assert pieces == ["\ufffd", "", "", "", "😀"]
    assert told.take(final=True).text == ""
    assert whole_of("nano-qwen3", tokens)[0] == "\ufffd😀" == words.decode(tokens)


def test_a_token_that_breaks_a_character_off_begins_behind_it() -> None:
    tokens = [_byte("nano-qwen3", value) for value in b"a\xf0\x9fb"]
    text, shown = whole_of("nano-qwen3", tokens)
    assert text == "a\ufffdb"
    assert [token.offset for token in shown] == [0, 1, 1, 2]


def test_a_run_of_byte_tokens_waits_for_its_end() -> None:
    """One byte that is none of a character takes the whole run with it."""
    words = WORDS["llama2"]
    euro = [_byte("llama2", value) for value in "€".encode()]
    assert words.decode([*euro, _byte("llama2", 0xFF)]) == "\ufffd" * 4
    told = Detokenizer(words, [])
    told.feed(euro)
    assert told.take().text == ""
    told.feed(words.encode("x", special=False))
    assert told.take().text.startswith("€")


def test_only_the_beginning_of_a_text_loses_its_space() -> None:
    for name in ("llama2", "three spaces less", "unigram"):
        words = WORDS[name]
        tokens = words.encode("    a a", special=False)
        told = Detokenizer(words, [])
        pieces = []
        for token in tokens:
            told.feed([token])
            pieces.append(told.take().text)
        assert "".join([*pieces, told.take(final=True).text]) == words.decode(tokens)


def test_a_tokenizer_that_tells_text_in_no_known_way_is_refused(tmp_path: Path) -> None:
    made = Tokenizer(models.BPE({"a": 0, "b</w>": 1}, []))
    made.decoder = decoders.BPEDecoder()
    made.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(NoTokenizer, match="Tinker API"):
        Vocabulary(tmp_path)
