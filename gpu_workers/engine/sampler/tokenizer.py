"""The base model's tokenizer, needed for stop strings only."""

from __future__ import annotations

from transformers import AutoTokenizer

from gpu_workers.engine.sampler.stops import TokenTexts
from gpu_workers.engine.types import UserError


def load_texts(source: str) -> TokenTexts:
    """Decode with the tokenizer that lies beside the model; UserError if there is none."""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            "Stop strings need a tokenizer and this base model has none: use stop token ids."
        ) from error

    def decode(tokens: list[int]) -> str:
        return tokenizer.decode(
            tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )

    return TokenTexts(decode)
