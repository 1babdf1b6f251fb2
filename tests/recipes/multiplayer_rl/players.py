"""Policies that are programs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tinsmith.renderers import Ending, Parsed

Chat = Sequence[Mapping[str, Any]]


class Program:
    """A policy whose message is a function of what it last heard; it keeps what it was asked."""

    def __init__(self, answer: Callable[[str], object]) -> None:
        self.answer = answer
        self.asked: list[list[Mapping[str, Any]]] = []

    async def __call__(self, chat: Chat, **_: Any) -> Parsed:
        self.asked.append(list(chat))
        text = str(self.answer(chat[-1]["content"]))
        return Parsed({"role": "assistant", "content": text}, Ending.STOP)

    @property
    def heard(self) -> list[str]:
        """What it was told last, each time."""
        return [str(chat[-1]["content"]) for chat in self.asked]


class Scripted(Program):
    """A policy that says what it is told to, one after another."""

    def __init__(self, *texts: object) -> None:
        left = iter(texts)
        super().__init__(lambda _: next(left))
