"""Chats as examples, and why one that is none is left out or refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from tinsmith.renderers import Example, Renderer
from tinsmith_recipes.chat_sl.data import Conversation
from tinsmith_recipes.training.supervised import Weighed

OnBad = Literal["refuse", "skip"]
TooLong = Literal["cut", "skip", "refuse"]


@dataclass
class Rendered:
    """Examples to train on.

    Attributes:
        examples: a chat is mostly one; families that rewrite earlier turns make several of it.
        weighed: the same, ready to be sent.
        left_out: of each chat that is not among them, where it stands and why.
        cut: how many examples lost their end.
    """

    examples: list[Example] = field(default_factory=list)
    weighed: list[Weighed] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    cut: int = 0


def render(
    renderer: Renderer,
    chats: Sequence[Conversation],
    train_on: str,
    *,
    longest: int,
    too_long: TooLong,
    on_bad: OnBad,
    reduction: str,
) -> Rendered:
    """Examples of chats.

    Args:
        renderer, train_on: how chats are written, and which of their messages are learnt.
        longest: tokens of an example. What is longer is cut there, left out, or refused, as
            ``too_long`` says.
        on_bad: whether a chat that cannot be expressed, or has nothing to learn, ends the run.
        reduction: see ``Weighed.of``.

    Raises:
        ValueError: a chat that is refused, by file, line and reason.
    """
    found = Rendered()
    for chat in chats:
        try:
            examples = [
                _fitted(example, longest, too_long, found)
                for example in renderer.examples(chat.messages, train_on)
            ]
            weighed = [Weighed.of(one, reduction) for one in examples]
        except _TooLong as error:
            if too_long == "refuse":
                raise ValueError(
                    f"{chat.place}: {error}; too_long=cut or too_long=skip goes on without refusing"
                ) from None
            found.left_out.append(f"{chat.place}: {error}")
        except (TypeError, ValueError) as error:
            if on_bad == "refuse":
                raise ValueError(
                    f"{chat.place}: {error}; on_bad=skip leaves such chats out and counts them"
                ) from None
            found.left_out.append(f"{chat.place}: {error}")
        else:
            found.examples += examples
            found.weighed += weighed
    return found


class _TooLong(Exception):
    """An example that is not to be cut."""


def _fitted(example: Example, longest: int, too_long: TooLong, found: Rendered) -> Example:
    if len(example.tokens) <= longest:
        return example
    if too_long != "cut":
        raise _TooLong(f"it has {len(example.tokens)} tokens, and {longest} is the most")
    if not any(example.weights[1:longest]):
        raise _TooLong(f"nothing of it is learnt within the first {longest} tokens")
    found.cut += 1
    return Example(example.tokens[:longest], example.weights[:longest])
