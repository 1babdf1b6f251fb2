"""Chats as examples, and why one that is none is left out or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, overload

import numpy as np

from tinsmith.renderers import Example, Renderer
from tinsmith_recipes.chat_sl.data import Conversation
from tinsmith_recipes.training.supervised import Weighed

OnBad = Literal["refuse", "skip"]
TooLong = Literal["cut", "skip", "refuse"]


@dataclass(frozen=True)
class Rules:
    """How chats become examples.

    Attributes:
        renderer, train_on: how they are written, and which of their messages are learnt.
        longest: tokens of an example. What is longer is cut there, left out, or refused, as
            ``too_long`` says.
        on_bad: whether a chat that cannot be expressed, or has nothing to learn, is refused.
        reduction: see ``Weighed.of``.
    """

    renderer: Renderer
    train_on: str
    longest: int
    too_long: TooLong = "cut"
    on_bad: OnBad = "refuse"
    reduction: str = "mean"


class Rendered(Sequence[Weighed]):
    """The examples of chats: all are looked at once, and made again when they are asked for.

    Text takes a tenth of the memory that tokens take, and data sets are large.

    Attributes:
        left_out: of each chat that is not among them, where it stands and why.
        cut: how many examples lost their end.
        digest: of all tokens and weights.

    Raises:
        ValueError: a chat that is refused, by file, line and reason.
    """

    def __init__(self, rules: Rules, chats: Sequence[Conversation]) -> None:
        self._rules, self._chats = rules, chats
        self._places: list[tuple[int, int]] = []  # number of the chat, and of its example
        self.left_out: list[str] = []
        self.cut = 0
        digest = hashlib.sha256()
        for number, chat in enumerate(chats):
            for part, (example, is_cut) in enumerate(self._looked_at(chat)):
                self._places.append((number, part))
                self.cut += is_cut
                digest.update(np.asarray([example.tokens, example.weights], "<f8").tobytes())
        self.digest = digest.hexdigest()

    def example(self, index: int) -> Example:
        """Tokens and weights, as they were rendered."""
        number, part = self._places[index]
        return self._made(self._chats[number])[part][0]

    @property
    def chats(self) -> list[Conversation]:
        """The chats that are among them."""
        return [self._chats[number] for number in dict.fromkeys(chat for chat, _ in self._places)]

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> Weighed: ...
    @overload
    def __getitem__(self, index: slice) -> list[Weighed]: ...
    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        return Weighed.of(self.example(index), self._rules.reduction)

    def _looked_at(self, chat: Conversation) -> list[tuple[Example, bool]]:
        """A chat's examples, and whether each is cut; none where it is left out."""
        rules = self._rules
        try:
            found = self._made(chat)
            for example, _ in found:
                Weighed.of(example, rules.reduction)  # which refuses what has no weight
        except _TooLong as error:
            reason, is_refused = str(error), rules.too_long == "refuse"
            way_out = "too_long=cut or too_long=skip goes on without refusing"
        except (TypeError, ValueError) as error:
            reason, is_refused = str(error), rules.on_bad == "refuse"
            way_out = "on_bad=skip leaves such chats out and counts them"
        else:
            return found
        if is_refused:
            raise ValueError(f"{chat.place}: {reason}; {way_out}")
        self.left_out.append(f"{chat.place}: {reason}")
        return []

    def _made(self, chat: Conversation) -> list[tuple[Example, bool]]:
        examples = self._rules.renderer.examples(chat.messages, self._rules.train_on)
        return [self._fitted(example) for example in examples]

    def _fitted(self, example: Example) -> tuple[Example, bool]:
        longest = self._rules.longest
        if len(example.tokens) <= longest:
            return example, False
        if self._rules.too_long != "cut":
            raise _TooLong(f"it has {len(example.tokens)} tokens, and {longest} is the most")
        if not any(example.weights[1:longest]):
            raise _TooLong(f"nothing of it is learnt within the first {longest} tokens")
        return Example(example.tokens[:longest], example.weights[:longest]), True


class _TooLong(Exception):
    """An example that is not to be cut."""
