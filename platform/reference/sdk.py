"""Reads the SDK's sources: its public classes and functions, their signatures and docstrings.

Nothing of the SDK is imported; what it says about itself is in its text.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise
from pathlib import Path

from reference import signatures
from reference.protobuf import sdk_folder

PACKAGE = "tinsmith"
TYPES = f"{PACKAGE}.types"
# What one imports by its module: anchor, title, module
MODULES = [
    ("chats", "Chats, in tinsmith.renderers", f"{PACKAGE}.renderers"),
    ("data", "Data, in tinsmith.data", f"{PACKAGE}.data"),
    ("rates", "Learning rates, in tinsmith.hyperparameters", f"{PACKAGE}.hyperparameters"),
    ("losses", "Losses, in tinsmith.losses", f"{PACKAGE}.losses"),
]
_NO_CONSTRUCTOR = "Not for direct use"


@dataclass(slots=True)
class Member:
    """A method, a property or a field."""

    name: str
    kind: str
    signature: str
    doc: str
    twin: Member | None = None  # the one to await


@dataclass(slots=True)
class Item:
    """Something public."""

    name: str
    kind: str
    home: str
    signature: str
    doc: str
    bases: list[str] = field(default_factory=list)
    fields: list[Member] = field(default_factory=list)
    members: list[Member] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Section:
    """Things of a kind."""

    id: str
    title: str
    items: list[Item]


@dataclass(frozen=True, slots=True)
class Reference:
    """The SDK."""

    doc: str
    sections: list[Section]


@cache
def reference() -> Reference:
    """The SDK that is installed beside the platform."""
    return read(sdk_folder())


def read(folder: Path) -> Reference:
    """The public names of the package in `folder`, by what they are for."""
    sources = Sources(folder)
    names = sources.public(PACKAGE)
    types = [name for name in sources.public(TYPES) if name not in names]
    items = {name: item for name in names if (item := sources.item(PACKAGE, name))}
    further = [item for name in types if (item := sources.item(TYPES, name))]
    top = list(items.values())
    clients = [item for item in top if item.name.endswith("Client")]
    clients.sort(key=lambda item: item.name != "ServiceClient")
    errors = [item for item in top if item.home == f"{PACKAGE}.errors"]
    shapes = [item for item in top if item.home.startswith(TYPES)]
    taken = {id(item) for item in (*clients, *errors, *shapes)}
    rest = [item for item in top if id(item) not in taken]
    return Reference(
        ast.get_docstring(sources.tree(PACKAGE)) or "",
        [
            Section("clients", "Clients", clients),
            Section("waiting", "Futures and settings", rest),
            *(Section(id_, title, sources.of_module(name)) for id_, title, name in MODULES),
            Section("types", "Types", shapes),
            Section("more-types", "More types, in tinsmith.types", further),
            Section("errors", "Errors", errors),
        ],
    )


class Sources:
    """The modules of a package, as syntax trees."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._trees: dict[str, ast.Module] = {}
        self._names: dict[str, dict[str, ast.AST | tuple[str, str]]] = {}

    def tree(self, module: str) -> ast.Module:
        """A module's syntax tree; an empty one when it is not ours."""
        if module not in self._trees:
            path = self._folder.joinpath(*module.split(".")[1:])
            file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
            ours = module.split(".")[0] == PACKAGE and file.exists()
            self._trees[module] = ast.parse(file.read_text() if ours else "")
        return self._trees[module]

    def public(self, module: str) -> list[str]:
        """A module's `__all__`, or what it imports from the package when it has none."""
        for node in self.tree(module).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                names = ast.literal_eval(node.value)
                return [name for name in names if not name.startswith("_")]
        return [name for name in self._symbols(module) if not name.startswith("_")]

    def item(self, module: str, name: str) -> Item | None:
        """What a name stands for; None for a module and what is not ours."""
        found = self.find(module, name)
        if found is None:
            return None
        home, node = found
        if isinstance(node, ast.ClassDef):
            return self._class(home, node, name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = ast.get_docstring(node) or ""
            return Item(name, "function", home, signatures.of_function(node), doc)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            text = f"{name} = {ast.unparse(node.value)}"
            return Item(name, "alias", home, text, self._doc_after(home, node))
        return None

    def of_module(self, module: str) -> list[Item]:
        """What a module of the package has of its own and explains."""
        found = (self.item(module, name) for name in self.public(module))
        return [item for item in found if item and item.home.startswith(module) and item.doc]

    def find(self, module: str, name: str) -> tuple[str, ast.AST] | None:
        """(module, node) where a name is defined, through any number of imports.

        The name may stand behind that of an imported module.
        """
        owner, _, last = name.rpartition(".")
        if isinstance(imported := self._symbols(module).get(owner), tuple):
            module, name = ".".join(imported), last
        for _ in range(10):
            found = self._symbols(module).get(name)
            if not isinstance(found, tuple):
                return None if found is None else (module, found)
            module, name = found
        return None

    def _symbols(self, module: str) -> dict[str, ast.AST | tuple[str, str]]:
        if module not in self._names:
            self._names[module] = dict(_symbols(self.tree(module).body))
        return self._names[module]

    def _class(self, home: str, node: ast.ClassDef, name: str) -> Item:
        item = Item(name, "class", home, "", ast.get_docstring(node) or "")
        seen: set[str] = set()
        for owner in self._line(home, node, item.bases):
            for member in _members(owner):
                if member.name in seen:
                    continue
                seen.add(member.name)
                (item.fields if member.kind == "field" else item.members).append(member)
        made = next((member for member in item.members if member.name == "__init__"), None)
        if made is not None:
            item.members.remove(made)
            if not made.doc.startswith(_NO_CONSTRUCTOR):
                item.signature = made.signature.replace("def __init__", name, 1)
                item.doc = "\n\n".join(filter(None, (item.doc, made.doc)))
        item.members = _with_twins(item.members)
        return item

    def _line(self, home: str, node: ast.ClassDef, bases: list[str]) -> Iterator[ast.ClassDef]:
        """The class and those bases whose members are shown as its own: the ones not public."""
        yield node
        for base in node.bases:
            name = ast.unparse(base).partition("[")[0]
            found = self.find(home, name)
            if name in self.public(PACKAGE) or found is None:
                if name not in ("Generic", "Protocol", "object") and "Struct" not in name:
                    bases.append(name)
            elif isinstance(found[1], ast.ClassDef):
                yield from self._line(found[0], found[1], bases)

    def _doc_after(self, module: str, node: ast.AST) -> str:
        """The text that stands below an assignment."""
        body = self.tree(module).body
        for known, following in pairwise(body):
            if known is node and isinstance(following, ast.Expr):
                value = following.value
                if isinstance(value, ast.Constant) and isinstance(value.value, str):
                    return value.value
        return ""


def _symbols(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST | tuple[str, str]]]:
    """The names that statements bind: definitions, and where imported ones come from."""
    for node in body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield node.name, node
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGE):
            for alias in node.names:
                yield alias.asname or alias.name, (node.module or "", alias.name)
        elif isinstance(node, ast.If):
            yield from _symbols(node.body)
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            yield node.target.id, node


def _members(node: ast.ClassDef) -> Iterator[Member]:
    for child in node.body:
        if isinstance(child, ast.AnnAssign) and isinstance(child.target, ast.Name):
            if not child.target.id.startswith("_") and "ClassVar" not in ast.unparse(
                child.annotation
            ):
                yield Member(child.target.id, "field", signatures.of_field(child), "")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            decorators = {ast.unparse(decorator) for decorator in child.decorator_list}
            if "overload" in decorators or any(name.endswith(".setter") for name in decorators):
                continue
            if child.name == "__init__" or not child.name.startswith("_"):
                yield _method(child, decorators)


def _method(node: ast.FunctionDef | ast.AsyncFunctionDef, decorators: set[str]) -> Member:
    doc = ast.get_docstring(node) or ""
    if decorators & {"property", "cached_property", "functools.cached_property"}:
        text = f"{node.name}: {ast.unparse(node.returns)}" if node.returns else node.name
        return Member(node.name, "property", text, doc)
    kind = next((word for word in ("classmethod", "staticmethod") if word in decorators), "method")
    bound = kind != "staticmethod"
    return Member(node.name, kind, signatures.of_function(node, bound=bound), doc)


def _with_twins(members: list[Member]) -> list[Member]:
    """`name_async` goes with `name`."""
    by_name = {member.name: member for member in members}
    shown = []
    for member in members:
        waiting = member.name.removesuffix("_async")
        if waiting != member.name and waiting in by_name:
            continue
        member.twin = twin = by_name.get(f"{member.name}_async")
        if twin is not None and _arguments(twin) == _arguments(member):
            twin.signature = twin.signature.replace(_arguments(twin), "...", 1)
        shown.append(member)
    return shown


def _arguments(member: Member) -> str:
    """What stands between a signature's name and its result."""
    inside = member.signature.partition("(")[2].partition(" -> ")[0]
    return inside.rpartition(")")[0]
