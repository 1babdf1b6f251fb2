"""What token ids are, and what people give instead of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tinsmith._words.mistakes import title_of, unlike

ENCODE = "encode it first, e.g. tokenizer.encode(text)"


def check_tokens(tokens: Any, what: str = "tokens") -> None:
    """Raise TypeError or ValueError for what is no flat list or array of token ids.

    Of a list the first entry alone is looked at: whoever sends it finds the others.
    """
    if type(tokens) is list and (not tokens or type(tokens[0]) is int):
        return
    if isinstance(tokens, str | bytes):
        raise TypeError(f"{what} must be token ids, not text; {ENCODE}")
    if isinstance(tokens, Mapping) or hasattr(tokens, "input_ids"):
        raise TypeError(
            f"{what} must be token ids, not {title_of(tokens)}; what a tokenizer returns holds "
            f"them in ['input_ids']{_row_of(tokens)}"
        )
    if hasattr(tokens, "ndim") and hasattr(tokens, "dtype"):
        _check_array(tokens, what)
    elif isinstance(tokens, Sequence):
        _check_first(tokens, what)
    elif not (hasattr(tokens, "__len__") and hasattr(tokens, "__getitem__")):
        raise unlike(what, "a list of token ids", tokens, _instead_of(tokens))


def _row_of(encoding: Any) -> str:
    """``[0]`` where a tokenizer has returned a batch."""
    try:
        ids = encoding["input_ids"]
        return "[0], one sequence at a time" if len(getattr(ids, "shape", ())) == 2 else ""
    except (KeyError, TypeError):
        return ""


def _check_array(array: Any, what: str) -> None:
    shape = tuple(array.shape)
    if len(shape) != 1:
        raise ValueError(
            f"{what} must be one flat sequence, not an array of shape {shape}; "
            + ("give one row of it, e.g. tokens[0]" if len(shape) > 1 else "give [token]")
        )
    if not any(word in str(array.dtype) for word in ("int", "bool", "object")):
        raise ValueError(f"{what} must be integers, not {array.dtype}")


def _check_first(tokens: Sequence[Any], what: str) -> None:
    first = tokens[0] if len(tokens) else 0
    if isinstance(first, str | bytes):
        raise TypeError(
            f"{what} must be token ids, not a list of texts; encode them one by one, "
            "e.g. tokenizer.encode(text), and make a datum or prompt of each"
        )
    if isinstance(first, Sequence) or (hasattr(first, "ndim") and first.ndim):
        raise ValueError(
            f"{what} must be one flat list, not a list of lists; give one of them, e.g. tokens[0]"
        )
    if not hasattr(first, "__index__"):
        raise ValueError(f"{what} must be integers, and the first is {title_of(first)}")


def _instead_of(value: Any) -> str:
    if hasattr(value, "to_ints"):
        return "its .to_ints() gives them"
    if hasattr(value, "tokens"):
        return "its .tokens are what is wanted here"
    if hasattr(value, "__iter__"):
        return "list() makes one"
    return "one token goes as [token]" if hasattr(value, "__index__") else ""
