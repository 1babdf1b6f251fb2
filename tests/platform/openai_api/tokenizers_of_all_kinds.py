"""Tokenizers as other model families have them, small ones made here, written as model folders."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers

from gpu_workers import nano

_TEMPORARY = tempfile.TemporaryDirectory(prefix="tinsmith-test-")
FOLDER = Path(_TEMPORARY.name)

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


def write(name: str, template: str = TEMPLATE) -> Path:
    """A model folder with that tokenizer and a chat template."""
    folder = FOLDER / name
    folder.mkdir(exist_ok=True)
    make(name).save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(template)
    return folder


def with_template(template: str, *more: str) -> Path:
    """The nano Qwen3's tokenizer, with more control tokens, and another chat template."""
    folder = Path(tempfile.mkdtemp(dir=FOLDER))
    made = Tokenizer.from_file(str(nano.folder("nano-qwen3") / "tokenizer.json"))
    made.add_special_tokens(list(more))
    made.save(str(folder / "tokenizer.json"))
    (folder / "chat_template.jinja").write_text(template)
    return folder


# as Qwen's templates do: thoughts are cut off, tools are shown, results are user turns
THINKING = """
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{% endif %}
    {%- for tool in tools %}{{- tool | tojson }}{{- "\\n" }}{% endfor %}
    {{- '<|im_end|>\\n' }}
{%- elif messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(last=messages | length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages | length - 1) - loop.index0 %}
    {%- if message.role == 'user' and not (message.content.startswith('<tool_response>')) %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|im_start|>' + message.role + ('(' + message.name + ')' if message.name else '') }}
        {{- '\\n' + content | trim + '<|im_end|>' + '\\n' }}
    {%- elif message.role == 'assistant' %}
        {%- set thought = '' %}
        {%- if message.reasoning_content is string %}
            {%- set thought = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1] %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.last or (not loop.last and thought) %}
            {%- set content = '<think>\\n' + thought.strip('\\n') + '\\n</think>\\n\\n' + content %}
        {%- endif %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- for call in message.tool_calls or [] %}
            {{- '\\n<tool_call>\\n{"name": "' ~ call.function.name ~ '", "arguments": ' }}
            {{- call.function.arguments | tojson ~ '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == 'tool' %}
        {{- '<|im_start|>user\\n<tool_response>\\n' ~ content }}
        {{- '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{% endif %}
"""
