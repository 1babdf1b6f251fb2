"""Turns generated texts into token batches with a weight for every token."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from gpu_workers.nano.text.mixture import Chat, Plain, one_text
from gpu_workers.nano.tokenizer import FAMILIES

# Share of Qwen chats with the empty thought that the template writes for `enable_thinking=False`.
_NO_THINKING = 0.05
_PROMPT_WEIGHT = 0.1  # what others say is worth a little: it makes a language model of it


@dataclass(slots=True)
class Batch:
    """Right-padded texts of similar length."""

    tokens: np.ndarray  # int64 [texts, length]
    weights: np.ndarray  # float32 [texts, length]; 0 on padding, 1 on answers


class Encoder:
    """Texts → ids and weights, for one model's tokenizer."""

    def __init__(self, name: str, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        family = FAMILIES[name]
        self.end_of_turn = tokenizer.convert_tokens_to_ids(family.end_of_turn)
        self.end_of_text = family.end_of_text
        self.bos = family.bos or ""
        before = tokenizer.apply_chat_template([{"role": "user", "content": ""}], tokenize=False)
        after = tokenizer.apply_chat_template(
            [{"role": "user", "content": ""}], tokenize=False, add_generation_prompt=True
        )
        self.header = self._ids(after.removeprefix(before))
        self.no_thinking = self._ids(family.no_thinking)

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def encode(self, text: Chat | Plain, thought: bool = False) -> tuple[list[int], list[float]]:
        """Ids and weights: 1 on answers and the token that ends them, little on all else.

        `thought` puts the family's empty thought, if it knows one, in front of the last answer.
        """
        if isinstance(text, Plain):
            ids = self._ids(self.bos + text.text + self.end_of_text)
            return ids, [1.0] * len(ids)
        ids = self._ids(self.tokenizer.apply_chat_template(list(text.messages), tokenize=False))
        weights = [_PROMPT_WEIGHT] * len(ids)
        size, position, start = len(self.header), 0, 0
        while position < len(ids):
            if ids[position : position + size] != self.header:
                position += 1
                continue
            position += size
            end = ids.index(self.end_of_turn, position) + 1
            weights[position:end] = [1.0] * (end - position)
            start, position = position, end
        if thought:
            ids[start:start] = self.no_thinking
            weights[start:start] = [0.0] * len(self.no_thinking)
        return ids, weights


def batches(encoder: Encoder, seed: int, texts: int, part_tokens: int) -> Iterator[list[Batch]]:
    """For ever: one step's `texts` in parts of `part_tokens` or less, sorted: little is padding."""
    r = Random(seed)
    pad = encoder.tokenizer.pad_token_id
    while True:
        encoded = sorted(
            (encoder.encode(one_text(r), r.random() < _NO_THINKING) for _ in range(texts)),
            key=lambda pair: len(pair[0]),
        )
        parts: list[list[tuple[list[int], list[float]]]] = [[]]
        for row in encoded:
            if parts[-1] and len(row[0]) * (len(parts[-1]) + 1) > part_tokens:
                parts.append([])
            parts[-1].append(row)
        yield [padded(part, pad) for part in parts]


def padded(rows: list[tuple[list[int], list[float]]], pad: int) -> Batch:
    """Rows of ids and weights as one batch as long as the longest."""
    shape = (len(rows), max(len(ids) for ids, _ in rows))
    batch = Batch(np.full(shape, pad, np.int64), np.zeros(shape, np.float32))
    for number, (ids, weights) in enumerate(rows):
        batch.tokens[number, : len(ids)] = ids
        batch.weights[number, : len(ids)] = weights
    return batch
