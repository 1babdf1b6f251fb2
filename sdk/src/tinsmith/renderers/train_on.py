"""Which messages of a chat an example trains on."""

from __future__ import annotations

from enum import Enum

from tinsmith._words.mistakes import did_you_mean
from tinsmith.renderers.messages import Chat, Message


class TrainOnWhat(str, Enum):
    """What has weight in an example. A message's header never has, but for ALL_TOKENS.

    - LAST_ASSISTANT_MESSAGE: the assistant's message that ends the chat.
    - LAST_ASSISTANT_TURN: every message of the assistant's after the last user message, as in a
      loop of tool calls.
    - ALL_ASSISTANT_MESSAGES: every message of the assistant's.
    - ALL_MESSAGES: every message, whoever wrote it.
    - ALL_TOKENS: everything, headers too.
    - ALL_USER_AND_SYSTEM_MESSAGES: what users and the system wrote.
    - CUSTOMIZED: the messages whose ``trainable`` is true; every message says it.
    """

    LAST_ASSISTANT_MESSAGE = "last_assistant_message"
    LAST_ASSISTANT_TURN = "last_assistant_turn"
    ALL_ASSISTANT_MESSAGES = "all_assistant_messages"
    ALL_MESSAGES = "all_messages"
    ALL_TOKENS = "all_tokens"
    ALL_USER_AND_SYSTEM_MESSAGES = "all_user_and_system_messages"
    CUSTOMIZED = "customized"

    @classmethod
    def of(cls, given: str) -> TrainOnWhat:
        """The member of that name or value, in any case.

        Raises:
            ValueError: no such member; the text names the nearest.
        """
        names = [item.value for item in cls]
        if isinstance(given, str):
            for item in cls:
                if given.lower() == item.value:
                    return item
        meant = did_you_mean(str(given), names)
        raise ValueError(
            f"there is no train_on {given!r}{meant or '.'} There is {', '.join(names)}"
        )


# Of these the chat is one example as it stands, whether or not it was ever sampled so
AS_IT_STANDS = frozenset(
    {
        TrainOnWhat.ALL_MESSAGES,
        TrainOnWhat.ALL_TOKENS,
        TrainOnWhat.ALL_USER_AND_SYSTEM_MESSAGES,
    }
)


def trained(chat: Chat, train_on: TrainOnWhat) -> list[int]:
    """Indices of the messages that have weight, in order.

    Raises:
        ValueError: there are none, or messages stand after the last one that could have weight.
    """
    _check_flags(chat, train_on)
    last_user = chat.last_index("user")
    found = [
        index
        for index, message in enumerate(chat.messages)
        if _is_trained(message, index > last_user, train_on)
    ]
    if train_on is TrainOnWhat.LAST_ASSISTANT_MESSAGE:
        found = found[-1:]
    if not found:
        raise ValueError(f"nothing to train: no message is one of {train_on.value}")
    after = found[-1] + 1
    if train_on in _END_WITH_THE_ASSISTANT and after < len(chat.messages):
        raise ValueError(
            f"messages[{after}] stands after the last message of the assistant's, and nothing "
            f"learns from it with {train_on.value}; drop it"
        )
    return found


_END_WITH_THE_ASSISTANT = frozenset(
    {TrainOnWhat.LAST_ASSISTANT_MESSAGE, TrainOnWhat.LAST_ASSISTANT_TURN}
)


def _is_trained(message: Message, is_in_last_turn: bool, train_on: TrainOnWhat) -> bool:
    if train_on is TrainOnWhat.CUSTOMIZED:
        return bool(message.trainable)
    if train_on is TrainOnWhat.ALL_USER_AND_SYSTEM_MESSAGES:
        return message.role in ("user", "system")
    if train_on in AS_IT_STANDS:
        return True
    is_assistants = message.role == "assistant"
    return is_assistants and (is_in_last_turn or train_on is not TrainOnWhat.LAST_ASSISTANT_TURN)


def _check_flags(chat: Chat, train_on: TrainOnWhat) -> None:
    for index, message in enumerate(chat.messages):
        if (message.trainable is None) is (train_on is TrainOnWhat.CUSTOMIZED):
            raise ValueError(
                f"messages[{index}] has no 'trainable', which customized needs of every message"
                if message.trainable is None
                else f"messages[{index}] has 'trainable', which customized alone looks at"
            )
