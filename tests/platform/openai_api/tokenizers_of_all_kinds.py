"""Tokenizers as other model families have them, small ones made here, written as model folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

LETTERS = "abcdeéß日😀.,!x<>|_im"
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CONTROL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
MARKS = ["<think>", "</think>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def _sentencepiece(*last: Any) -> Tokenizer:
    """As Llama 2, Mistral and Gemma: spaces are ▁, what has no piece is bytes."""
    pieces = ["<unk>", *BYTES, "▁", *LETTERS, "▁a", "ab", "▁▁", "▁▁▁▁", "\n", "<|", "|>"]
    merges = [("▁", "a"), ("a", "b"), ("▁", "▁"), ("▁▁", "▁▁"), ("<", "|"), ("|", ">")]
    vocabulary = {name: number for number, name in enumerate(pieces)}
    made = Tokenizer(
        models.BPE(vocabulary, merges, byte_fallback=True, unk_token="<unk>", fuse_unk=True)
    )
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last]
    )
    return made


def _unigram() -> Tokenizer:
    """As T5 and XLM-R: pieces with scores; control tokens lie among them."""
    pieces = [("<unk>", 0.0), *((name, 0.0) for name in CONTROL), ("▁", -2.0), ("▁a", -1.5)]
    pieces += [(letter, -3.0) for letter in LETTERS]
    made = Tokenizer(models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made


def _wordpiece() -> Tokenizer:
    """As BERT: words, their further parts begin with ##."""
    pieces = ["[UNK]", *LETTERS, *(f"##{letter}" for letter in LETTERS), "ab", "##ab"]
    made = Tokenizer(
        models.WordPiece({name: n for n, name in enumerate(pieces)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.WordPiece(cleanup=True)
    return made


def make(name: str) -> Tokenizer:
    """The tokenizer of that name."""
    made = {
        "llama2": lambda: _sentencepiece(decoders.Strip(" ", 1, 0)),
        "gemma": lambda: _sentencepiece(),
        "three spaces less": lambda: _sentencepiece(decoders.Strip(" ", 3, 0)),
        "unigram": _unigram,
        "wordpiece": _wordpiece,
    }[name]()
    made.add_special_tokens([AddedToken(text, special=True) for text in CONTROL])
    made.add_tokens([AddedToken(text, special=False) for text in MARKS])
    return made


NAMES = ("llama2", "gemma", "three spaces less", "unigram", "wordpiece")


def write(name: str, folder: Path, template: str = TEMPLATE) -> Path:
    """A model folder with that tokenizer and a chat template."""
    folder.mkdir(parents=True, exist_ok=True)
    make(name).save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(template)
    return folder
