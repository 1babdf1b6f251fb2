"""Generated chats and tokenizers for the tests of renderers."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, models, pre_tokenizers, trainers
from tokenizers import decoders as token_decoders
from transformers import AutoTokenizer, PreTrainedTokenizerFast

NANO = Path(__file__).resolve().parents[2] / "gpu_workers" / "nano"
QWEN = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
QWEN_MARKS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>")
LLAMA = ("<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>")
# Bars and blanks of these are no ASCII
DEEPSEEK = tuple(
    f"<\uff5c{name.replace(' ', chr(0x2581))}\uff5c>"
    for name in (
        *("begin of sentence", "end of sentence", "User", "Assistant", "tool calls begin"),
        *("tool calls end", "tool call begin", "tool call end", "tool sep"),
        *("tool output begin", "tool output end"),
    )
)
KIMI = (
    *("[EOS]", "<|im_end|>", "<|im_system|>", "<|im_user|>", "<|im_assistant|>", "<|im_middle|>"),
    *("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>", "<|tool_call_begin|>"),
    *("<|tool_call_argument_begin|>", "<|tool_call_end|>"),
)
GPT_OSS = (
    *("<|startoftext|>", "<|endoftext|>", "<|return|>", "<|constrain|>", "<|channel|>"),
    *("<|start|>", "<|end|>", "<|message|>", "<|call|>"),
)
MISTRAL = (
    *("<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    *("[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]"),
    *("[IMG_END]", "[PREFIX]", "[MIDDLE]", "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    *("[TOOL_CONTENT]", "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]"),
)
# The pattern of Qwen and, but for digits, of Llama 3: line ends join what stands before them
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEXTS = [
    "user\n\nassistant\nsystem\n\n\ntool\n",
    'Hello, there.\n\n\n{"name": "add", "arguments": {"a": 1}}\n',
    "User: one\n\nAssistant: two\n\nSystem: three\n\n\n",
    "  \n\n \n  words  and\n\n words!\n\n?\n\n<|im_end|>\n",
]

Messages = list[dict[str, Any]]


@cache
def nano(name: str) -> Any:
    """The tokenizer of a nano model."""
    return AutoTokenizer.from_pretrained(NANO / name)


def with_template(family: str, template: str) -> Any:
    """The small tokenizer of a family, with a chat template."""
    made = copy.deepcopy(tokenizer(family))
    made.chat_template = template
    return made


@cache
def tokenizer(family: str) -> Any:
    """A small tokenizer that splits as the family's own does, with its control tokens."""
    is_llama, is_deepseek = family == "llama3", family.startswith("deepseek")
    special = [*LLAMA, "<|eot_id|>"] if is_llama else list(QWEN)
    if is_deepseek:
        special = list(DEEPSEEK)
    if is_kimi := family.startswith("kimi"):
        special = list(KIMI)
    if is_gpt_oss := family.startswith("gpt_oss"):
        special = list(GPT_OSS)
    if is_mistral := family.startswith("mistral"):
        special = list(MISTRAL)
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_WORDS), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = token_decoders.ByteLevel()
    letters = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=letters, show_progress=False)
    made.train_from_iterator(_TEXTS * 9, trainer)
    made.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in special])
    if not (is_llama or is_gpt_oss or is_mistral):
        marks = ["<think>", "</think>"] if is_deepseek or is_kimi else [*QWEN_MARKS, "</think>"]
        made.add_tokens([AddedToken(text, special=False, normalized=False) for text in marks])
    if is_deepseek:
        return PreTrainedTokenizerFast(
            tokenizer_object=made, bos_token=DEEPSEEK[0], eos_token=DEEPSEEK[1]
        )
    if is_mistral:
        return PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>")
    if is_gpt_oss:
        return PreTrainedTokenizerFast(tokenizer_object=made, eos_token="<|return|>")
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token=LLAMA[0] if is_llama else None,
        eos_token="<|eot_id|>" if is_llama else "<|im_end|>",
    )


# Line ends, spaces, letters of several bytes, halves of control tokens, quotes
_PARTS = [
    "\n",
    "\n\n",
    " ",
    "\r\n",
    "a",
    "Hello",
    " words",
    ".",
    "1",
    "é",
    "日本",
    "🙂",
    "<|",
    '"',
    "\\",
]
_CONTROLS = [*QWEN, *QWEN_MARKS, "</think>", *LLAMA, "<|eot_id|>", "<|im_", "end|>"]
_CONTROLS += DEEPSEEK + KIMI + GPT_OSS + MISTRAL


def texts(with_controls: bool = False) -> st.SearchStrategy[str]:
    """Texts of what is hard to tokenize; with the texts of control tokens where asked for."""
    parts = _PARTS + (_CONTROLS if with_controls else [])
    return st.lists(st.sampled_from(parts), max_size=6).map("".join)


def answers(with_controls: bool = False) -> st.SearchStrategy[str]:
    """Texts of the assistant's: none begins with white space, where no token reaches across."""
    return texts(with_controls).map(str.lstrip)


@st.composite
def chats(
    draw: st.DrawFn,
    thinks: bool = False,
    calls: bool = False,
    with_controls: bool = False,
    begins_anyhow: bool = False,
) -> Messages:
    """Chats that end with the assistant's: [system,] then user, assistant [, tool …], in turns.

    `begins_anyhow`: the assistant's texts may begin with white space.
    """
    user = texts(with_controls)
    answer = user if begins_anyhow else answers(with_controls)

    def assistants(is_literal: bool) -> dict[str, Any]:
        text = draw(answer)
        content = [{"type": "text", "text": text}] if is_literal else text
        message: dict[str, Any] = {"role": "assistant", "content": content}
        if thinks and draw(st.booleans()):
            message["reasoning_content"] = draw(answer).strip() or "hm"
        return message

    messages: Messages = []
    if draw(st.booleans()):
        messages.append({"role": "system", "content": draw(user)})
    for _ in range(draw(st.integers(1, 3))):
        messages.append({"role": "user", "content": draw(user)})
        for _ in range(draw(st.integers(0, 2)) if calls else 0):
            asked = assistants(with_controls)
            count = draw(st.integers(1, 2))
            asked["tool_calls"] = [
                {"type": "function", "function": {"name": "add", "arguments": draw(_ARGUMENTS)}}
                for _ in range(count)
            ]
            results = [
                {"role": "tool", "content": draw(user), "name": "add", "tool_call_id": f"add:{n}"}
                for n in range(count)
            ]
            messages += [asked, *results]
        messages.append(assistants(with_controls))
    return messages


_ARGUMENTS = st.dictionaries(st.sampled_from(["a", "b"]), st.one_of(st.integers(), texts()))
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds é.",
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
]
