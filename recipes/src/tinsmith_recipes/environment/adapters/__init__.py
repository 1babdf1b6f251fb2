"""Adapters: other packages' environments as ours. A package is imported when it is used."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

from tinsmith import SamplingClient
from tinsmith_recipes.training.nearest import meant
from tinsmith_recipes.training.rl import Environment, Policy
from tinsmith_recipes.training.warm_start import Chat


@dataclass(frozen=True)
class Problems:
    """What an adapter makes of a package's environment.

    Attributes:
        learn: problems to learn from.
        held_out: problems to test with, none of which is among the others.
        solved: chats of the problems to learn from with right answers, where the package has any.
        serving: within it they are played.
    """

    learn: Sequence[Environment]
    held_out: Sequence[Environment]
    solved: Sequence[Chat] = ()
    serving: Callable[[], AbstractAsyncContextManager[None]] = nullcontext


def another(policy: Policy, sampler: SamplingClient | None = None) -> Policy:
    """A player that is not trained, as many tokens long: the same model unless another is given."""
    return Policy(
        sampler or policy.sampler,
        policy.renderer,
        max_tokens=policy.max_tokens,
        temperature=policy.temperature,
        seed=policy.random.getrandbits(31),
        context=policy.context,
    )


def imported(module: str, extra: str) -> Any:
    """A module of a package that is an extra of ours.

    Raises:
        ValueError: it is not installed; says how to get it.
    """
    package = module.partition(".")[0]
    try:
        importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        needs = f"package={extra} needs it: pip install 'tinsmith-recipes[{extra}]'"
        raise ValueError(needs) from None
    return importlib.import_module(module)


def check_known(what: str, given: str, known: Iterable[str]) -> None:
    """Refuse a name that there is not.

    Raises:
        ValueError: ``given`` is none of the known; names the nearest, or all if there are few.
    """
    there = sorted(known)
    if given not in there:
        raise ValueError(f"there is no {what} {given!r}; {meant(given, there, most=3)}")


def options(words: str) -> dict[str, Any]:
    """``key=value,key=value`` by name; a value is JSON, or else the text that it is.

    >>> options('min_words=1,operators=["+","-"],style=plain')
    {'min_words': 1, 'operators': ['+', '-'], 'style': 'plain'}

    Raises:
        ValueError: it is not like that.
    """
    found: dict[str, Any] = {}
    left = words.strip()
    while left:
        match = re.match(r"\s*(\w+)\s*=\s*", left)
        if match is None:
            raise ValueError(f"options: {left!r} is no key=value")
        left = left[match.end() :]
        found[match[1]], end = _value(left)
        left = left[end:].lstrip()
        if left and not left.startswith(","):
            raise ValueError(f"options: no comma after {match[1]}, but {left!r}")
        left = left[1:]
    return found


def _value(text: str) -> tuple[Any, int]:
    """The value at the beginning of a text, and where it ends."""
    plain = text.partition(",")[0]
    try:
        value, end = json.JSONDecoder().raw_decode(text)
    except ValueError:
        return plain.strip(), len(plain)
    if text[end:].lstrip()[:1] not in ("", ","):  # 3x3, which begins like a number
        return plain.strip(), len(plain)
    return value, end
