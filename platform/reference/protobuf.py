"""Reads wire.proto: its messages, enums and comments."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_HEADING = re.compile(r"// ---- (.+)")
_BEGIN = re.compile(r"(message|enum|oneof) (\w+) {")
_FIELD = re.compile(
    r"(?:(repeated|optional) )?(map<\w+, \w+>|[\w.]+) (\w+) = (\d+);(?:\s*// (.*))?"
)
_VALUE = re.compile(r"(\w+) = (\d+);(?:\s*// (.*))?")


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a message; `oneof` names the group of which only one is set."""

    name: str
    kind: str
    number: int
    label: str
    comment: str
    oneof: str = ""

    @property
    def words(self) -> list[str]:
        """The type, taken apart so that names of messages can be links."""
        return re.findall(r"\w+|\W+", self.kind)


@dataclass(slots=True)
class Message:
    """A message or an enum; an inner one's name has its outer one's before it."""

    kind: str
    name: str
    section: str
    comment: str
    fields: list[Field] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Protocol:
    """The file: what it says about itself, and its messages in order."""

    about: str
    messages: list[Message]
    source: str


def sdk_folder() -> Path:
    """Where the package `tinsmith` lies; it is looked at, not imported."""
    found = find_spec("tinsmith")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the package `tinsmith` is not installed beside the platform")
    return Path(found.submodule_search_locations[0])


@cache
def protocol() -> Protocol:
    """The messages of the wire protocol."""
    return read((sdk_folder() / "wire" / "wire.proto").read_text())


def read(source: str) -> Protocol:
    """Take a .proto file of our own apart; ValueError for a line that is not understood."""
    about, section = "", "enums"
    comments: list[str] = []
    open_: list[tuple[str, str]] = []  # (kind, name) of what is not closed yet
    messages: dict[str, Message] = {}
    for line in map(str.strip, source.splitlines()):
        if heading := _HEADING.fullmatch(line):
            section, comments = heading[1], []
        elif line.startswith("//"):
            comments.append(line.removeprefix("//").strip())
        elif line.startswith(("syntax", "package")):
            about, comments = about or "\n".join(comments), []
        elif begin := _BEGIN.fullmatch(line):
            open_.append((begin[1], begin[2]))
            if begin[1] != "oneof":
                name = ".".join(name for kind, name in open_ if kind != "oneof")
                messages[name] = Message(begin[1], name, section, " ".join(comments))
            comments = []
        elif line == "}":
            open_.pop()
        elif line:
            owner = ".".join(name for kind, name in open_ if kind != "oneof")
            messages[owner].fields.append(_field(line, open_[-1], " ".join(comments)))
            comments = []
    return Protocol(about, list(messages.values()), source)


def _field(line: str, inside: tuple[str, str], above: str) -> Field:
    kind, name = inside
    if kind == "enum":
        if match := _VALUE.fullmatch(line):
            return Field(match[1], "", int(match[2]), "", match[3] or above)
    elif match := _FIELD.fullmatch(line):
        oneof = name if kind == "oneof" else ""
        return Field(match[3], match[2], int(match[4]), match[1] or "", match[5] or above, oneof)
    raise ValueError(f"wire.proto has a line that is not understood: {line!r}")
