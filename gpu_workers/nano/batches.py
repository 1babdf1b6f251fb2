"""Turns generated texts into token batches with a weight for every token."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np

from gpu_workers.nano.text.mixture import Chat, Plain, one_text
from gpu_workers.nano.tokenizer import FAMILIES

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

    def _ids(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def encode(self, text: Chat | Plain) -> tuple[list[int], list[float]]:
        """Ids and weights: 1 on answers and the token that ends them, little on all else."""
        if isinstance(text, Plain):
            ids = self._ids(self.bos + text.text + self.end_of_text)
            return ids, [1.0] * len(ids)
        ids = self._ids(self.tokenizer.apply_chat_template(list(text.messages), tokenize=False))
        weights = [_PROMPT_WEIGHT] * len(ids)
        size, position = len(self.header), 0
        while position < len(ids):
            if ids[position : position + size] != self.header:
                position += 1
                continue
            position += size
            end = ids.index(self.end_of_turn, position) + 1
            weights[position:end] = [1.0] * (end - position)
            position = end
        return ids, weights


def batches(encoder: Encoder, seed: int, texts: int, parts: int) -> Iterator[list[Batch]]:
    """For ever: one step's `texts`, sorted by length and cut into `parts` so that little is padding."""
    r = Random(seed)
    pad = encoder.tokenizer.pad_token_id
    while True:
        encoded = sorted((encoder.encode(one_text(r)) for _ in range(texts)), key=lambda pair: len(pair[0]))
        step = []
        for part in range(parts):
            rows = encoded[part * texts // parts : (part + 1) * texts // parts]
            shape = (len(rows), len(rows[-1][0]))
            batch = Batch(np.full(shape, pad, np.int64), np.zeros(shape, np.float32))
            for row, (ids, weights) in enumerate(rows):
                batch.tokens[row, : len(ids)] = ids
                batch.weights[row, : len(ids)] = weights
            step.append(batch)
        yield step
