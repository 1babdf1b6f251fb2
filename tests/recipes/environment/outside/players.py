"""Players that stand where the policy does; they need no pytest and no server."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from tinsmith.renderers import Ending, Parsed

Chat = Sequence[Mapping[str, Any]]


class Player:
    """Says what a function of the chat says, and keeps what it was asked."""

    def __init__(self, says: Callable[[Chat], str], seed: int = 0) -> None:
        self.says, self.random = says, Random(seed)
        self.asked: list[list[Mapping[str, Any]]] = []
        self.tools: Any = None

    async def __call__(self, chat: Chat, *, tools: Any = None) -> Parsed:
        self.asked.append(list(chat))
        self.tools = tools
        return Parsed({"role": "assistant", "content": self.says(chat)}, Ending.STOP)
