"""A tokenizer out of a vocabulary of ranks, as tiktoken and tekken have them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from transformers.convert_slow_tokenizer import bytes_to_unicode

_LETTERS = bytes_to_unicode()


def of_ranks(
    ranks: Mapping[bytes, int], pattern: str, controls: Mapping[str, int], **options: Any
) -> Any:
    """A tokenizer of transformers.

    Args:
        ranks: the number of each token, by its bytes; a lower rank is merged first.
        pattern: what cuts texts into the pieces that are merged.
        controls: numbers of control tokens by their texts.
    """
    found: list[tuple[int, int, int, str, str]] = []
    for token, rank in ranks.items():
        for middle in range(1, len(token)):
            left, right = token[:middle], token[middle:]
            if left in ranks and right in ranks:
                found.append((rank, ranks[left], ranks[right], _text(left), _text(right)))
    found.sort()
    vocabulary = {_text(token): rank for token, rank in ranks.items()} | dict(controls)
    made = Tokenizer(
        models.BPE(vocabulary, [(row[3], row[4]) for row in found], ignore_merges=True)
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens([AddedToken(text, special=True) for text in controls])
    return PreTrainedTokenizerFast(tokenizer_object=made, **options)


def _text(token: bytes) -> str:
    return "".join(map(_LETTERS.__getitem__, token))
