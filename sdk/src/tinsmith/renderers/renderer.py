"""``Renderer``: a chat to tokens and weights, and sampled tokens back to a message.

A family says how a message is written, as pieces: text, and control tokens by name. Everything else
is here, once: how pieces become tokens, where weights are, and what makes an example.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Any, ClassVar

from tinsmith._words.mistakes import title_of
from tinsmith.renderers.messages import Chat, Message, check
from tinsmith.renderers.train_on import AS_IT_STANDS, TrainOnWhat, trained
from tinsmith.renderers.vocabulary import CUT, Control, Cut, Piece, Vocabulary
from tinsmith.types.inputs import ModelInput
from tinsmith.types.tokens import check_tokens

if TYPE_CHECKING:
    from tinsmith.types.datum import Datum

Pieces = Sequence[Piece]
# Whose tokens are nobody's message: what begins a chat, or opens the next message
NOBODY = -1


class Ending(str, Enum):
    """How a sampled message ended.

    - STOP: with the family's own end of a turn.
    - END_OF_TEXT: with the tokenizer's end of text, where that is another token.
    - CUT_OFF: not at all; the sample was too short.
    - MALFORMED: it went on after its end, or ended in the midst of thinking, of a call, of markup.
    """

    STOP = "stop"
    END_OF_TEXT = "end_of_text"
    CUT_OFF = "cut_off"
    MALFORMED = "malformed"


@dataclass(frozen=True)
class Turn:
    """How one message is written: what stands before it, and what its author writes."""

    header: Pieces
    body: Pieces


@dataclass(frozen=True)
class Parsed:
    """A sampled message in the form that renderers take, and how it ended."""

    message: dict[str, Any]
    ending: Ending


@dataclass(frozen=True)
class Example:
    """Tokens of a chat, [N], and the weight of each, [N]: 1 where it is to be learnt, else 0."""

    tokens: list[int]
    weights: list[float]

    def datum(self) -> Datum:
        """The example as the losses take it: N - 1 positions, each predicting the next token."""
        from tinsmith.types.datum import Datum

        return Datum.from_tokens(self.tokens, weights=self.weights)


@dataclass(frozen=True)
class Owned:
    """Tokens, [N], and of each the message that it is of, and whether it is of its body."""

    tokens: list[int]
    owners: list[tuple[int, bool]]


class Renderer(ABC):
    """Base of all families.

    Args:
        tokenizer: the model's, of transformers or ``tokenizers``.

    Raises:
        ValueError: a tokenizer that lacks a control token of the family.
    """

    name: ClassVar[str]
    """What ``get`` calls it."""
    proof: ClassVar[str]
    """What its tokens were compared with; it begins with ``unproven`` where with nothing."""
    needs: ClassVar[tuple[str, ...]] = ()
    """Control tokens without which there is no such chat."""
    marks: tuple[str, ...] = ()
    """What frames thinking and calls: control tokens where the tokenizer has them, else text."""
    lead: ClassVar[str] = ""
    """What stands before the text of an answer that was sampled, and is none of it."""
    extends: ClassVar[bool] = True
    """Whether a chat's tokens begin with those of the chat when it was shorter."""

    def __init__(self, tokenizer: Any) -> None:
        self.vocabulary = Vocabulary(tokenizer)
        missing = [text for text in self.needs if self.vocabulary.number(text) is None]
        if missing:
            raise ValueError(
                f"the tokenizer has no {' or '.join(missing)}, so its model is none of {self.name}"
            )

    # ---- what a family says

    @abstractmethod
    def turn(self, chat: Chat, index: int) -> Turn:
        """How a message is written."""

    @abstractmethod
    def opening(self, chat: Chat) -> Pieces:
        """What stands before the assistant's next message."""

    @abstractmethod
    def read(self, tokens: Sequence[int]) -> Parsed:
        """The message that sampled tokens are."""

    @property
    @abstractmethod
    def stop(self) -> list[int] | list[str]:
        """What ends the assistant's message, for ``SamplingParams(stop=…)``."""

    def beginning(self, chat: Chat) -> Pieces:
        """What stands before the first message."""
        return ()

    def ending(self, chat: Chat) -> Pieces:
        """What its author writes after the last message only; part of its body."""
        return ()

    @abstractmethod
    def check(self, chat: Chat) -> None:
        """Raise ValueError for what the family cannot express."""

    # ---- what callers use

    def prompt(
        self, messages: Sequence[Any], tools: Sequence[Any] | None = None, prefill: str = ""
    ) -> ModelInput:
        """The prompt for the assistant's next message.

        Args:
            messages: of the chat so far, the last one not the assistant's.
            tools: that the assistant may call, in OpenAI's form.
            prefill: how its message begins; ``parse`` takes it, too.

        Raises:
            TypeError, ValueError: a message that cannot be expressed; the text says which and why.
        """
        return ModelInput.from_ints(self._prompt(self._checked(messages, tools), prefill).tokens)

    def example(
        self,
        messages: Sequence[Any],
        train_on: TrainOnWhat | str = TrainOnWhat.LAST_ASSISTANT_MESSAGE,
        tools: Sequence[Any] | None = None,
    ) -> Example:
        """The chat as one example.

        Raises:
            TypeError, ValueError: as ``examples``; a chat that is several examples.
        """
        found = self.examples(messages, train_on, tools)
        if len(found) > 1:
            raise ValueError(
                f"{self.name} writes earlier messages of the assistant's in another form than it "
                f"sampled them, so this chat is {len(found)} examples: use examples()"
            )
        return found[0]

    def examples(
        self,
        messages: Sequence[Any],
        train_on: TrainOnWhat | str = TrainOnWhat.LAST_ASSISTANT_MESSAGE,
        tools: Sequence[Any] | None = None,
    ) -> list[Example]:
        """The chat as examples, each trained message once, after the tokens it is sampled after.

        Mostly that is one. A family that writes what the assistant said earlier in another form
        (without its thinking) needs one for each message of the assistant's that is trained.

        Raises:
            TypeError, ValueError: a message that cannot be expressed; nothing to train.
        """
        chat = self._checked(messages, tools)
        what = TrainOnWhat.of(train_on)
        chosen = trained(chat, what)
        if what in AS_IT_STANDS:
            return [self._example(chat, chosen, what is TrainOnWhat.ALL_TOKENS)]
        ends = {index for index in chosen if chat.messages[index].role == "assistant"}
        if self.extends:
            ends = set()
        ends.add(chosen[-1])
        found: list[Example] = []
        begin = 0
        for end in sorted(ends):
            here = [index for index in chosen if begin <= index <= end]
            found.append(self._example(chat.up_to(end + 1), here, False))
            begin = end + 1
        return _joined(found)

    def parse(self, tokens: Sequence[int], prefill: str = "") -> Parsed:
        """The message that a sample is, and how it ended.

        Args:
            tokens: as sampled after ``prompt``, the stop token included.
            prefill: what ``prompt`` was given.
        """
        check_tokens(tokens)
        return self.read([*self._prefill(prefill), *(int(token) for token in tokens)])

    # ---- for families

    def refuse(self, index: int, why: str) -> ValueError:
        """The error for a message that the family cannot express."""
        return ValueError(f"messages[{index}]: {self.name} {why}")

    def end_of(
        self, tokens: Sequence[int], stops: Iterable[str], ends_of_text: Iterable[str] = ()
    ) -> tuple[list[int], Ending]:
        """The tokens before the end of a turn, and how it ended."""
        ends = {self.vocabulary.number(text): Ending.STOP for text in stops}
        for text in ends_of_text:
            ends.setdefault(self.vocabulary.number(text), Ending.END_OF_TEXT)
        if self.vocabulary.end is not None:
            ends.setdefault(self.vocabulary.end, Ending.END_OF_TEXT)
        for place, token in enumerate(tokens):
            if token in ends:
                is_last = place + 1 == len(tokens)
                return list(tokens[:place]), ends[token] if is_last else Ending.MALFORMED
        return list(tokens), Ending.CUT_OFF

    def loose(self) -> str:
        """A pattern of the marks that are letters in this tokenizer."""
        letters = [mark for mark in self.marks if self.vocabulary.number(mark) is None]
        return "|".join(map(re.escape, letters)) or "(?!)"

    # ---- from pieces to tokens

    def _checked(self, messages: Sequence[Any], tools: Sequence[Any] | None) -> Chat:
        chat = check(messages, tools)
        for index, message in enumerate(chat.messages):
            self._check_marks(index, message)
        self.check(chat)
        return chat

    def _check_marks(self, index: int, message: Message) -> None:
        """Refuse markup in the text of the assistant's: letters would be learnt, not markup."""
        if message.role != "assistant" or message.is_literal:
            return
        for mark in self.marks:
            if mark in message.text:
                raise self.refuse(
                    index,
                    f"writes {mark} as markup, and this text has it in letters: give thinking as "
                    "reasoning_content and calls as tool_calls; where letters are meant, give "
                    "content=[{'type': 'text', 'text': …}]",
                )

    def _prefill(self, prefill: str) -> list[int]:
        if not isinstance(prefill, str):
            raise TypeError(f"prefill must be text, not {title_of(prefill)}")
        return self.vocabulary.encode(prefill)

    def _prompt(self, chat: Chat, prefill: str = "") -> Owned:
        if chat.messages and chat.messages[-1].role == "assistant":
            raise ValueError(
                f"messages[{len(chat.messages) - 1}] is the assistant's, and so would be the next "
                "one; a message that is to go on is given as prefill="
            )
        owned = self._begun(chat)
        more = self._prefill(prefill)
        return Owned(owned.tokens + more, owned.owners + [(NOBODY, False)] * len(more))

    def _begun(self, chat: Chat) -> Owned:
        """The tokens of a chat up to where the assistant goes on."""
        pieces = [piece for _, written in self._written(chat) for piece in written]
        return self.encode([((NOBODY, False), [*pieces, *self.opening(chat)])])

    def _written(self, chat: Chat) -> list[tuple[tuple[int, bool], Pieces]]:
        """The pieces of a chat, each with whose they are."""
        found: list[tuple[tuple[int, bool], Pieces]] = [((NOBODY, False), self.beginning(chat))]
        for index, message in enumerate(chat.messages):
            turn = self.turn(chat, index)
            # What the assistant writes is sampled after its header: no token reaches across
            header = [*turn.header, CUT] if message.role == "assistant" else turn.header
            found += [((index, False), header), ((index, True), turn.body)]
        return found

    def _example(self, chat: Chat, chosen: Sequence[int], is_everything: bool) -> Example:
        written = self._written(chat)
        written.append(((len(chat.messages) - 1, True), self.ending(chat)))
        owned = self.encode(written)
        wanted = set(chosen)
        weights = [
            float(is_everything or (is_body and index in wanted)) for index, is_body in owned.owners
        ]
        return Example(owned.tokens, weights)

    def encode(self, written: Iterable[tuple[tuple[int, bool], Pieces]]) -> Owned:
        """Tokens of pieces; texts that stand side by side are encoded as one."""
        tokens: list[int] = []
        owners: list[tuple[int, bool]] = []
        waiting: list[tuple[tuple[int, bool], str]] = []

        def write() -> None:
            for owner, part in self._encode_together(waiting):
                tokens.extend(part)
                owners.extend([owner] * len(part))
            waiting.clear()

        for owner, pieces in written:
            for piece in pieces:
                number = self.vocabulary.number(piece.text) if isinstance(piece, Control) else None
                if number is not None:
                    write()
                    tokens.append(number)
                    owners.append(owner)
                elif isinstance(piece, Cut):
                    write()
                else:
                    waiting.append((owner, piece.text if isinstance(piece, Control) else piece))
        write()
        return Owned(tokens, owners)

    def _encode_together(
        self, texts: Sequence[tuple[tuple[int, bool], str]]
    ) -> Iterable[tuple[tuple[int, bool], list[int]]]:
        """Tokens of texts side by side; one that reaches across is the earlier text's."""
        by_owner = groupby(((owner, text) for owner, text in texts if text), lambda pair: pair[0])
        texts = [(owner, "".join(text for _, text in pairs)) for owner, pairs in by_owner]
        whole = self.vocabulary.encode("".join(text for _, text in texts))
        begin = 0
        for place, before in enumerate(accumulate(text for _, text in texts)):
            end = len(whole)
            if place + 1 < len(texts):
                end = max(begin, _reach(whole, self.vocabulary.encode(before)))
            yield texts[place][0], whole[begin:end]
            begin = end


def _reach(whole: Sequence[int], part: Sequence[int]) -> int:
    """How many tokens of the whole a text's beginning takes, the one that reaches across too."""
    pairs = zip(whole, part, strict=False)
    common = next((place for place, (a, b) in enumerate(pairs) if a != b), len(part))
    return common if common == len(part) else common + 1


def _joined(examples: Sequence[Example]) -> list[Example]:
    """The same with every example left out that the next one begins with; its weights are kept."""
    found: list[Example] = []
    for example in examples:
        if found and example.tokens[: len(found[-1].tokens)] == found[-1].tokens:
            before = found.pop()
            rest = example.weights[len(before.tokens) :]
            example = Example(example.tokens, before.weights + rest)
        found.append(example)
    return found
