"""The tokenizers: any text survives, chats look as the families publish them, letters stay."""

import json
from random import Random
from typing import Any

import pytest
from transformers import AutoTokenizer

from gpu_workers.nano import NAMES, folder
from gpu_workers.nano.text.mixture import Chat, one_text
from gpu_workers.nano.text.words import plain_words
from gpu_workers.nano.tokenizer import FAMILIES, build, whole_words

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "1+2?"},
    {"role": "assistant", "content": "3"},
]
QWEN3_CHAT = (
    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
    "<|im_start|>assistant\nHello!<|im_end|>\n<|im_start|>user\n1+2?<|im_end|>\n"
    "<|im_start|>assistant\n3<|im_end|>\n"
)
LLAMA3_CHAT = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\nHello!<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n1+2?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n3<|eot_id|>"
)


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Any]:
    """Both, as users load them: from their folder, with no hub."""
    return {name: AutoTokenizer.from_pretrained(folder(name)) for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "text",
    [
        "", " ", "\n\n\n", "  two  spaces  ", "banana", "the first letter of the word",
        "Tabs\tand\r\nlines", "Grüße, 你好, שלום, ünï", "🙂👩‍👩‍👧", "\x00\x01\x7f", "e\u0301",
        "user assistant system", "'s don't", "".join(chr(n) for n in range(256)),
    ],
)  # fmt: skip
def test_any_text_survives(tokenizers: dict[str, Any], name: str, text: str) -> None:
    ids = tokenizers[name](text, add_special_tokens=False)["input_ids"]
    assert tokenizers[name].decode(ids) == text


@pytest.mark.parametrize("name", NAMES)
def test_random_unicode_survives(tokenizers: dict[str, Any], name: str) -> None:
    r = Random(0)
    for _ in range(200):
        points = [r.randrange(0x20, 0x30000) for _ in range(20)]
        text = "".join(chr(point) for point in points if not 0xD800 <= point < 0xE000)
        ids = tokenizers[name](text, add_special_tokens=False)["input_ids"]
        assert tokenizers[name].decode(ids) == text


@pytest.mark.parametrize("name", NAMES)
def test_bytes_keep_their_numbers_and_words_their_letters(
    tokenizers: dict[str, Any], name: str
) -> None:
    for word in plain_words():
        for text in (word, f" {word}", f"'{word}'"):
            ids = tokenizers[name](text, add_special_tokens=False)["input_ids"]
            assert ids == list(text.encode()), text


@pytest.mark.parametrize("name", NAMES)
def test_words_of_requests_are_one_token(tokenizers: dict[str, Any], name: str) -> None:
    for number, word in enumerate(whole_words()):
        assert tokenizers[name](word, add_special_tokens=False)["input_ids"] == [256 + number]


@pytest.mark.parametrize(
    ("name", "expected"), [("nano-qwen3", QWEN3_CHAT), ("nano-llama3", LLAMA3_CHAT)]
)
def test_chat_template(tokenizers: dict[str, Any], name: str, expected: str) -> None:
    tokenizer = tokenizers[name]
    assert tokenizer.apply_chat_template(CHAT, tokenize=False) == expected
    prompt = tokenizer.apply_chat_template(CHAT[:-1], tokenize=False, add_generation_prompt=True)
    assert expected.startswith(prompt)
    assert expected[len(prompt) :] in ("3<|im_end|>\n", "3<|eot_id|>")


def test_qwen3_without_thinking(tokenizers: dict[str, Any]) -> None:
    render = tokenizers["nano-qwen3"].apply_chat_template
    plain = render(CHAT[:2], tokenize=False, add_generation_prompt=True)
    closed = render(CHAT[:2], tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert closed == plain + "<think>\n\n</think>\n\n"


@pytest.mark.parametrize("name", NAMES)
def test_header_and_text_can_be_encoded_apart(tokenizers: dict[str, Any], name: str) -> None:
    """Renderers encode a message's header and its text apart: no token may span the border."""
    tokenizer, r = tokenizers[name], Random(9)
    done = 0
    while done < 200:
        text = one_text(r)
        if not isinstance(text, Chat) or text.messages[-1]["content"] == "":
            continue
        done += 1
        prompt = tokenizer.apply_chat_template(
            list(text.messages[:-1]), add_generation_prompt=True, return_dict=False
        )
        whole = tokenizer.apply_chat_template(list(text.messages), return_dict=False)
        answer = tokenizer(text.messages[-1]["content"], add_special_tokens=False)["input_ids"]
        assert whole[: len(prompt) + len(answer)] == prompt + answer


@pytest.mark.parametrize(
    ("name", "special"),
    [
        ("nano-qwen3", {"eos": "<|im_end|>", "pad": "<|endoftext|>", "bos": None}),
        (
            "nano-llama3",
            {"eos": "<|eot_id|>", "pad": "<|finetune_right_pad_id|>", "bos": "<|begin_of_text|>"},
        ),
    ],
)
def test_special_tokens(tokenizers: dict[str, Any], name: str, special: dict[str, str]) -> None:
    tokenizer, family = tokenizers[name], FAMILIES[name]
    assert {kind: getattr(tokenizer, f"{kind}_token") for kind in special} == special
    assert len(tokenizer) == 448
    ids = [tokenizer.convert_tokens_to_ids(text) for text in family.special + family.plain_added]
    assert ids == list(range(439, 439 + len(ids)))
    for text, number in zip(family.special + family.plain_added, ids, strict=True):
        assert tokenizer(f"a{text}b", add_special_tokens=False)["input_ids"] == [97, number, 98]
        shown = tokenizer.decode([97, number, 98], skip_special_tokens=True)
        assert shown == ("ab" if text in family.special else f"a{text}b")


def test_llama3_starts_with_bos_unless_told_otherwise(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["nano-llama3"]
    assert tokenizer("a")["input_ids"] == [tokenizer.bos_token_id, 97]
    assert tokenizer("a", add_special_tokens=False)["input_ids"] == [97]
    assert tokenizers["nano-qwen3"]("a")["input_ids"] == [97]


@pytest.mark.parametrize("name", NAMES)
def test_shipped_files_are_what_the_builder_builds(tokenizers: dict[str, Any], name: str) -> None:
    shipped = json.loads((folder(name) / "tokenizer.json").read_text())
    assert json.loads(build(name).backend_tokenizer.to_str()) == shipped
    assert tokenizers[name].chat_template == FAMILIES[name].chat_template
