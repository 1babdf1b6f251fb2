"""A base model's tokenizer in the web process: text to tokens and back, and its chat template.

Only `tokenizers` is needed for that, a library of its own without torch; it is imported with the
first text, so that servers which nobody asks for text never load it.
"""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog import tokenizer_files
from catalog.services import OfferedModel
from openai_api import text_streams
from openai_api.chat_tokens import ChatTokenizer, control_tokens
from openai_api.errors import Refused
from openai_api.marking import Alphabet
from openai_api.templates import INSEPARABLE, BadChat, BadTemplate, ChatTemplate
from openai_api.text_streams import ByteStream, Pieces, PieceStream, TextStream
from tinsmith.renderers import get as get_renderer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from tinsmith.renderers import Renderer

# texts up to this length are tokenized at once, longer ones in a thread
SHORT_CHARACTERS = 4000
_BYTE_TOKEN = re.compile("<0x[0-9A-F]{2}>")
_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "pad_token", "sep_token", "cls_token")


class NoTokenizer(Refused):
    """The model cannot be talked to in text."""


class Vocabulary:
    """A tokenizer with what belongs to it."""

    def __init__(self, folder: Path) -> None:
        from tokenizers import Tokenizer

        self._tokenizer: Tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        config = _json(folder / "tokenizer_config.json")
        special = {name: _content(config.get(name)) for name in _SPECIAL_NAMES}
        self._special = {name: text for name, text in special.items() if text}
        self.end_tokens = frozenset(self._end_tokens(folder))
        self._added = self._tokenizer.get_added_tokens_decoder()
        sources = _template_sources(folder, config)
        control = control_tokens(self._added, sources.values())
        self._templates = _compile(sources, self._special, control)
        self._chats = ChatTokenizer(self._tokenizer, control, Alphabet(control.values()))
        self._control_texts = re.compile(
            "|".join(re.escape(text) for text in control.values() if text) or "(?!)"
        )
        decoder = json.loads(self._tokenizer.to_str()).get("decoder")
        self._bytes = _bytes_of_characters()
        self._byte_level = text_streams.kind_of(decoder) == "bytes"
        self._pieces = None if self._byte_level else self._make_pieces(decoder)
        self._renderers: dict[str, Renderer | None] = {}

    def encode(self, text: str, *, special: bool) -> list[int]:
        """Tokens of a text; `special` adds what the model wants around it, such as a beginning."""
        return self._tokenizer.encode(text, add_special_tokens=special).ids

    def decode(self, tokens: list[int]) -> str:
        """Text of tokens, special ones left out; what is no character comes as U+FFFD."""
        return self._tokenizer.decode(tokens, skip_special_tokens=True)

    def text_stream(self) -> TextStream:
        """For the text of a sequence as its tokens come; in the end it is `decode` of them all."""
        if self._pieces is None:
            return ByteStream(self._bytes_in_text)
        return PieceStream(self._pieces)

    def bytes_of(self, token: int) -> bytes:
        """The bytes that a token stands for; a special token's are its name."""
        added = self._added.get(token)
        if added is not None:
            return added.content.encode()
        name = self._tokenizer.id_to_token(token) or ""
        if self._byte_level:
            return self._bytes_of_name(name)
        if _BYTE_TOKEN.fullmatch(name):
            return bytes([int(name[3:5], 16)])
        return name.replace("▁", " ").encode()

    def _bytes_in_text(self, token: int) -> bytes:
        """What a token adds to the text, for tokenizers whose text is bytes."""
        if self._is_silent(token):
            return b""
        return self._bytes_of_name(self._tokenizer.id_to_token(token) or "")

    def _bytes_of_name(self, name: str) -> bytes:
        """A name in the byte-level alphabet; any other stands for itself."""
        try:
            return bytes(self._bytes[character] for character in name)
        except KeyError:
            return name.encode()

    def _is_silent(self, token: int) -> bool:
        """Whether a token is never part of a text."""
        added = self._added.get(token)
        return added.special if added is not None else self._tokenizer.id_to_token(token) is None

    def _make_pieces(self, decoder: dict[str, Any] | None) -> Pieces:
        anchor = text_streams.find_anchor(self._tokenizer.token_to_id)
        if text_streams.kind_of(decoder) is None or anchor is None:
            raise NoTokenizer(
                "this model's tokenizer makes text in a way that is not offered here; "
                "sample with the Tinker API",
                "model",
            )
        byte_runs = text_streams.has_byte_runs(decoder)

        def is_byte(token: int) -> bool:
            return byte_runs and bool(
                _BYTE_TOKEN.fullmatch(self._tokenizer.id_to_token(token) or "")
            )

        return Pieces(self.decode, self._is_silent, is_byte, anchor)

    def renderer(self, name: str) -> Renderer | None:
        """The SDK's renderer of a family; None if this tokenizer is none of the family's."""
        if name not in self._renderers:
            try:
                self._renderers[name] = get_renderer(name, _ForRenderers(self._tokenizer, self))
            except ValueError:
                self._renderers[name] = None
        return self._renderers[name]

    def number_of(self, special: str) -> int | None:
        """The token that the configuration calls so: `bos_token`, `eos_token`."""
        text = self._special.get(special)
        return None if text is None else self._tokenizer.token_to_id(text)

    @property
    def has_template(self) -> bool:
        """Whether the model has a chat template, readable or not."""
        return bool(self._templates)

    def template(self, tools: list[dict[str, Any]] | None) -> ChatTemplate:
        """The chat template for chats with these tools, or without.

        Raises:
            NoTokenizer: the model has none that can be read.
        """
        found = self._templates.get("tool_use" if tools else "default")
        found = found or self._templates.get("default")
        if isinstance(found, ChatTemplate):
            return found
        why = f"a chat template that cannot be read ({found})" if found else "no chat template"
        raise NoTokenizer(f"this model has {why}; use /v1/completions with a prompt", "model")

    def render(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
    ) -> str:
        """The prompt of a chat.

        Raises:
            BadChat: the template refuses it. NoTokenizer: the model has no chat template.
        """
        return self.template(tools).render(messages, tools, options)

    def chat(
        self,
        messages: list[dict[str, Any]],
        tools: list[dict[str, Any]] | None,
        options: dict[str, Any],
    ) -> list[int]:
        """The prompt of a chat in tokens; its control tokens are the template's, whatever is said.

        Raises:
            BadChat: the template refuses it. NoTokenizer: the model has no chat template.
        """
        template = self.template(tools)
        prompt = template.render_marked(messages, tools, options)
        tokens = self._chats.encode(prompt)
        if tokens is not None:
            return tokens
        # With the texts of control tokens taken out of what was said, none may be left but the
        # template's: else it makes some in a way that is not seen here
        tame = template.render_marked(*map(self._tame, (messages, tools, options)))
        if self._chats.encode(tame) is None:
            raise BadChat(INSEPARABLE)
        return self._chats.encode_strictly(prompt)

    def _tame(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._control_texts.sub(lambda found: "x" * len(found[0]), value)
        if isinstance(value, list):
            return [self._tame(item) for item in value]
        if isinstance(value, dict):
            return {self._tame(key): self._tame(item) for key, item in value.items()}
        return value

    def _end_tokens(self, folder: Path) -> list[int]:
        """The tokens that end an answer, as the engine reads them from the same files."""
        for name in ("generation_config.json", "config.json"):
            found = _json(folder / name).get("eos_token_id")
            if found is not None:
                return [found] if isinstance(found, int) else list(found)
        end = self.number_of("eos_token")
        return [] if end is None else [end]


class _ForRenderers:
    """A tokenizer with what renderers ask of one, as that of transformers has it."""

    def __init__(self, tokenizer: Tokenizer, words: Vocabulary) -> None:
        self.backend_tokenizer = tokenizer
        self.bos_token_id = words.number_of("bos_token")
        self.eos_token_id = words.number_of("eos_token")
        found = map(words.number_of, _SPECIAL_NAMES)
        self.all_special_ids = [number for number in found if number is not None]


def _json(path: Path) -> dict[str, Any]:
    text = tokenizer_files.read(path)
    found = json.loads(text) if text else {}
    return found if isinstance(found, dict) else {}


def _content(token: Any) -> str | None:
    """A special token's text; configurations hold it as it is or inside an object."""
    return token.get("content") if isinstance(token, dict) else token


def _template_sources(folder: Path, config: dict[str, Any]) -> dict[str, str]:
    """The chat templates by name; a single one is called `default`."""
    found = tokenizer_files.read(folder / "chat_template.jinja") or config.get("chat_template")
    if isinstance(found, str):
        found = [{"name": "default", "template": found}]
    return {item["name"]: item["template"] for item in found or []}


def _compile(
    sources: dict[str, str], special: dict[str, str], control: dict[int, str]
) -> dict[str, ChatTemplate | BadTemplate]:
    """The templates; of one that cannot be compiled, why."""
    made: dict[str, ChatTemplate | BadTemplate] = {}
    for name, source in sources.items():
        try:
            made[name] = ChatTemplate(source, special, control.values())
        except BadTemplate as error:
            made[name] = error
    return made


def _bytes_of_characters() -> dict[str, int]:
    """Byte-level tokenizers' alphabet: printable bytes are themselves, others start at U+0100."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    return {chr(byte): byte for byte in printable} | {
        chr(0x100 + number): byte for number, byte in enumerate(others)
    }


_loaded: dict[str, Vocabulary] = {}


def _load(tokenizer_id: str) -> Vocabulary:
    folder = tokenizer_files.folder(tokenizer_id)
    if folder is None or not (folder / "tokenizer.json").exists():
        raise NoTokenizer(
            "the model's tokenizer.json is not on this server; sample with the Tinker API", "model"
        )
    return _loaded.setdefault(tokenizer_id, Vocabulary(folder))


async def of_model(model: OfferedModel) -> Vocabulary:
    """The vocabulary of a base model, loaded on first use.

    Raises:
        NoTokenizer: there is none here.
    """
    known = _loaded.get(model.tokenizer_id)
    return await asyncio.to_thread(_load, model.tokenizer_id) if known is None else known


async def encode(vocabulary: Vocabulary, text: str, *, special: bool) -> list[int]:
    """`Vocabulary.encode` that lets other requests go on meanwhile."""
    if len(text) <= SHORT_CHARACTERS:
        return vocabulary.encode(text, special=special)
    return await asyncio.to_thread(vocabulary.encode, text, special=special)
