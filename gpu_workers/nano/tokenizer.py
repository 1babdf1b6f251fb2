"""Builds the two tokenizers: bytes, 183 whole words of everyday requests, and special tokens."""

from dataclasses import dataclass
from typing import Any

# A word is one token only when it stands whole: behind a space (`_`) or at the start of a message.
# Anything else falls apart into bytes, so a quoted word is always its letters. None of them is in
# words.txt, the words that the models work on letter by letter.
_WORDS = (
    "user assistant system Say What Which Write Move Put Add How Count Repeat Does Spell "
    "Reverse Remove Swap Copy Drop Take Replace Sort Shout Please Can Is Are Double Good Hello "
    "You Answer The It Who Split Join Start yes no even odd good bad nothing none _the _of _to "
    "_in _is _at _it _its _or _on _up _as _an _by _be _no _they _and _are _was _were _has _have "
    "_had _do _does _did _not _for _from _with _without _that _this _there _then _than _so _but "
    "_you _your _can _will _what _which _who _where _when _how _many _much _all _every _each "
    "_only _same _other _one _two _three _first _second _third _fourth _fifth _last _next "
    "_before _after _front _end _middle _left _right _word _words _letter _letters _vowel "
    "_vowels _consonant _consonants _number _numbers _digits _capital _capitals _case _small "
    "_lower _upper _hyphen _hyphens _spaces _commas _plural _initials _opposite _colour _comes "
    "_come _moved _swapped _doubled _backwards _twice _times _bigger _smaller _longer _shorter "
    "_long _short _plus _minus _say _write _spell _put _answer _help _helpful _assistant _work "
    "_brief _went _sees _home _day _good _bad _even _odd _legs _sound _make"
)


def whole_words() -> list[str]:
    """The words that are one token, most with their leading space."""
    return [word.replace("_", " ") for word in _WORDS.split()]


@dataclass(frozen=True, slots=True)
class Family:
    """What sets a model family's text format apart."""

    special: tuple[str, ...]
    plain_added: tuple[str, ...]  # single tokens, but kept when special tokens are skipped
    bos: str | None
    end_of_turn: str
    end_of_text: str
    pad: str
    chat_template: str
    no_thinking: str = ""  # what stands before an answer when thinking is switched off


QWEN3 = Family(
    special=("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
    plain_added=(
        "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>",
    ),
    bos=None,
    end_of_turn="<|im_end|>",
    end_of_text="<|endoftext|>",
    pad="<|endoftext|>",
    chat_template=(
        "{%- for message in messages -%}\n"
        "{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' -}}\n"
        "{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n"
        "{{- '<|im_start|>assistant\\n' -}}\n"
        "{%- if enable_thinking is defined and enable_thinking is false -%}\n"
        "{{- '<think>\\n\\n</think>\\n\\n' -}}\n"
        "{%- endif -%}\n"
        "{%- endif -%}\n"
    ),
    no_thinking="<think>\n\n</think>\n\n",
)  # fmt: skip

LLAMA3 = Family(
    special=(
        "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>",
        "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>",
        "<|reserved_special_token_0|>",
    ),
    plain_added=(),
    bos="<|begin_of_text|>",
    end_of_turn="<|eot_id|>",
    end_of_text="<|end_of_text|>",
    pad="<|finetune_right_pad_id|>",
    chat_template=(
        "{{- bos_token -}}\n"
        "{%- for message in messages -%}\n"
        "{{- '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' -}}\n"
        "{{- message.content | trim + '<|eot_id|>' -}}\n"
        "{%- endfor -%}\n"
        "{%- if add_generation_prompt -%}\n"
        "{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}\n"
        "{%- endif -%}\n"
    ),
)  # fmt: skip

FAMILIES = {"nano-qwen3": QWEN3, "nano-llama3": LLAMA3}


def byte_letters() -> dict[int, str]:
    """Byte → the printable character that byte-level BPE writes it as."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {byte: chr(byte) for byte in kept}
    for shift, byte in enumerate(byte for byte in range(256) if byte not in table):
        table[byte] = chr(256 + shift)
    return dict(sorted(table.items()))


def vocabulary() -> dict[str, int]:
    """Piece → id: the 256 bytes under their own numbers, then the whole words."""
    letters = byte_letters()
    pieces = list(letters.values())
    pieces += ["".join(letters[byte] for byte in word.encode()) for word in whole_words()]
    return {piece: number for number, piece in enumerate(pieces)}


def build(name: str) -> Any:
    """The `transformers` tokenizer of the named model, chat template included."""
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        pre_tokenizers,
        processors,
    )
    from transformers import PreTrainedTokenizerFast

    family = FAMILIES[name]
    # No merges: ignore_merges takes a word that is in the vocabulary whole, all else stays bytes.
    raw = Tokenizer(models.BPE(vocab=vocabulary(), merges=[], ignore_merges=True))
    raw.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r" ?\p{L}+"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    raw.decoder = decoders.ByteLevel()
    for texts, special in ((family.special, True), (family.plain_added, False)):
        raw.add_tokens([AddedToken(text, special=special, normalized=False) for text in texts])
    if family.bos:
        raw.post_processor = processors.TemplateProcessing(
            single=f"{family.bos} $A",
            pair=f"{family.bos} $A {family.bos} $B",
            special_tokens=[(family.bos, raw.token_to_id(family.bos))],
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token=family.bos,
        eos_token=family.end_of_turn,
        pad_token=family.pad,
        model_max_length=2048,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = family.chat_template
    return tokenizer
