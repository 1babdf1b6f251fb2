"""Signatures from syntax trees, broken into lines when they are long."""

from __future__ import annotations

import ast
from collections.abc import Iterator

WIDTH = 88


def of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, *, bound: bool = False) -> str:
    """`def name(arguments) -> result`, without `self` or `cls` when it is bound."""
    word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    arguments = list(_arguments(node.args))[1 if bound else 0 :]
    result = f" -> {ast.unparse(node.returns)}" if node.returns and node.name != "__init__" else ""
    line = f"{word} {node.name}({', '.join(arguments)}){result}"
    if len(line) <= WIDTH:
        return line
    lines = "".join(f"    {argument},\n" for argument in arguments)
    return f"{word} {node.name}(\n{lines}){result}"


def of_field(node: ast.AnnAssign) -> str:
    """`name: type = default`."""
    text = f"{ast.unparse(node.target)}: {ast.unparse(node.annotation)}"
    value = node.value
    if isinstance(value, ast.Call):
        given = {word.arg: word.value for word in value.keywords}
        if "default_factory" in given:
            return f"{text} = {ast.unparse(given['default_factory'])}()"
        if ast.unparse(value.func).rpartition(".")[2] == "field":
            return f"{text} = {ast.unparse(given['default'])}" if "default" in given else text
    return f"{text} = {ast.unparse(value)}" if value is not None else text


def _arguments(arguments: ast.arguments) -> Iterator[str]:
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + [*arguments.defaults]
    for number, (argument, default) in enumerate(zip(plain, defaults, strict=True), 1):
        yield _argument(argument, default)
        if number == len(arguments.posonlyargs):
            yield "/"
    if arguments.vararg:
        yield "*" + _argument(arguments.vararg, None)
    elif arguments.kwonlyargs:
        yield "*"
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        yield _argument(argument, default)
    if arguments.kwarg:
        yield "**" + _argument(arguments.kwarg, None)


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        annotation = ast.unparse(argument.annotation)
        text += f": {annotation.strip(chr(39))}"
    if default is None:
        return text
    return f"{text} = {ast.unparse(default)}" if ":" in text else f"{text}={ast.unparse(default)}"
