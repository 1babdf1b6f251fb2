"""From a rendered chat to tokens, with no control token but those that the template wrote.

Mostly the tokenizer finds just those by itself, and its tokens are taken. If it finds more, a user
wrote the text of one. Then each control token of the template is exchanged for a name that nobody
can guess, in a tokenizer that knows them by these names, where users' text is text.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from openai_api.marking import Alphabet
from openai_api.templates import INSEPARABLE, BadChat, Prompt

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer

# added tokens that are words, white space or tags of HTML (Gemma has such), and no control tokens
_TAGS = "table|caption|thead|tbody|tfoot|tr|th|td|h[1-6]|blockquote|strong|em|b|i|u|sub|sup|code"
_TAGS += "|a|img|p|br|hr|ul|ol|li|div|span|pre"
_WORDS = re.compile(rf"[^<>\[\]{{}}|]*|</?(?:{_TAGS})>", re.DOTALL)


class Control(NamedTuple):
    """A control token in a text, from `start` up to before `end`."""

    token: int
    start: int
    end: int


def control_tokens(added: dict[int, AddedToken], templates: Iterable[str]) -> dict[int, str]:
    """The tokens that give a chat its form: special ones, and marks that templates use or look so.

    Others that were added to a vocabulary are words like any.
    """
    sources = "\0".join(templates)
    return {
        number: token.content
        for number, token in added.items()
        if token.special or token.content in sources or not _WORDS.fullmatch(token.content)
    }


class ChatTokenizer:
    """Makes tokens of chats; `control` are texts by token."""

    def __init__(self, tokenizer: Tokenizer, control: dict[int, str], alphabet: Alphabet) -> None:
        self._tokenizer = tokenizer
        self._control = control
        self._alphabet = alphabet
        self._by_mark = {alphabet.mark(text): token for token, text in control.items()}
        longest_first = sorted(self._by_mark, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._renamed: tuple[Tokenizer, dict[int, str]] | None = None

    def encode(self, prompt: Prompt) -> list[int] | None:
        """The tokens if the tokenizer finds no control tokens but the template's, else None."""
        encoding = self._tokenizer.encode(prompt.text, add_special_tokens=False)
        found = [
            Control(token, *span)
            for token, span in zip(encoding.ids, encoding.offsets, strict=True)
            if token in self._control
        ]
        own = self._own(prompt)
        same = len(found) == len(own) and all(
            seen.token == meant.token and seen.start <= meant.start and meant.end <= seen.end
            for seen, meant in zip(found, own, strict=True)
        )
        return encoding.ids if same else None

    def encode_strictly(self, prompt: Prompt) -> list[int]:
        """The tokens, where the messages hold texts of control tokens.

        Raises:
            BadChat: this tokenizer makes control tokens of such text all the same.
        """
        tokenizer, names = self._rename()
        own = self._own(prompt)
        parts, at = [], 0
        for token, start, end in own:
            parts += [self._alphabet.plain(prompt.marked[at:start]), names[token]]
            at = end
        parts.append(self._alphabet.plain(prompt.marked[at:]))
        ids = tokenizer.encode("".join(parts), add_special_tokens=False).ids
        if [token for token in ids if token in self._control] != [item.token for item in own]:
            raise BadChat(INSEPARABLE)
        return ids

    def _own(self, prompt: Prompt) -> list[Control]:
        """The control tokens that the template wrote."""
        return [
            Control(self._by_mark[found[0]], *found.span())
            for found in self._marks.finditer(prompt.marked)
        ]

    def _rename(self) -> tuple[Tokenizer, dict[int, str]]:
        """A tokenizer like this one that has other names for the control tokens, and the names."""
        from tokenizers import Tokenizer

        if self._renamed is None:
            secret = secrets.token_hex(8)
            names = {
                token: f"\ue000{secret}.{number}\ue001"
                for number, token in enumerate(self._control)
            }
            new = {self._control[token]: name for token, name in names.items()}
            layout = _renamed(json.loads(self._tokenizer.to_str()), new)
            try:
                renamed = Tokenizer.from_str(json.dumps(layout))
            except Exception as error:  # the library raises nothing narrower
                raise BadChat(INSEPARABLE) from error
            if any(renamed.token_to_id(name) != token for token, name in names.items()):
                raise BadChat(INSEPARABLE)
            self._renamed = renamed, names
        return self._renamed


def _renamed(layout: dict[str, Any], new: dict[str, str]) -> dict[str, Any]:
    """A tokenizer.json with other names for some tokens."""
    for token in layout["added_tokens"]:
        token["content"] = new.get(token["content"], token["content"])
    model = layout["model"]
    if isinstance(model["vocab"], dict):
        model["vocab"] = {new.get(name, name): number for name, number in model["vocab"].items()}
    else:
        model["vocab"] = [[new.get(name, name), score] for name, score in model["vocab"]]
    if isinstance(model.get("unk_token"), str):
        model["unk_token"] = new.get(model["unk_token"], model["unk_token"])
    return layout
