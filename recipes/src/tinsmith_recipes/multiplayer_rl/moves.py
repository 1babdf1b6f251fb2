"""Games as what is learnt from them, by players who see all of a game or its last message only."""

from __future__ import annotations

from tinsmith_recipes.training.warm_start import Chat


def lessons(game: Chat, *, remembers: bool) -> list[Chat]:
    """The whole game, or each of the assistant's messages with the one before it.

    >>> game = [{"role": role} for role in ("user", "assistant", "user", "assistant")]
    >>> len(lessons(game, remembers=True)), len(lessons(game, remembers=False))
    (1, 2)
    """
    if remembers:
        return [game]
    return [
        game[at - 1 : at + 1] for at, message in enumerate(game) if message["role"] == "assistant"
    ]
