"""``render``: what a chat of a file becomes, token by token, and what of it is learnt."""

from __future__ import annotations

import os
import sys
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinsmith._clients.tokenizers import open_tokenizer

if TYPE_CHECKING:
    from tinsmith.cli.command import Command
    from tinsmith.renderers import Example, Renderer


def render(command: Command) -> None:
    """Print one row's examples, and write them as a page."""
    from tinsmith.renderers import shown

    given = command.arguments
    place, row = _row(given.source, given.split, given.row)
    renderer = _renderer(command)
    examples = _examples(place, row, renderer, given.train_on)
    if given.html:
        page = shown.as_page(f"{place}, {renderer.name}", examples, renderer)
        Path(given.html).write_text(page, encoding="utf-8")
    if command.out.as_json:
        command.out.data(_as_data(place, renderer, examples))
        return
    in_colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    for heading, example in examples:
        print(f"{heading}, {renderer.name}: {shown.summary(example)}")
        print(shown.as_text(example, renderer, in_colour))
    if given.html:
        print(f"wrote {given.html}")


def _row(source: str, split: str | None, number: int) -> tuple[str, dict[str, Any]]:
    from tinsmith.data import load_rows

    rows = load_rows(source, split=split, limit=number)
    found = next(islice(rows, number - 1, None), None)
    if found is None:
        raise ValueError(f"{source} has no row {number}")
    return found


def _renderer(command: Command) -> Renderer:
    """By the model, whose tokenizer the server has or its folder; or by both names."""
    from tinsmith import renderers

    given = command.arguments
    if given.tokenizer is not None:
        tokenizer = open_tokenizer(given.tokenizer)
    elif given.model is None:
        raise ValueError("give --model, or --renderer and --tokenizer")
    elif (Path(given.model) / "config.json").is_file():
        tokenizer = open_tokenizer(given.model)
    else:
        tokenizer = command.rest.get_tokenizer(given.model)
    if given.renderer is not None:
        return renderers.get(given.renderer, tokenizer)
    if given.model is None:
        raise ValueError("--tokenizer alone names no renderer: give --renderer, or --model")
    return renderers.for_model(given.model, tokenizer)


def _examples(
    place: str, row: dict[str, Any], renderer: Renderer, train_on: str
) -> list[tuple[str, Example]]:
    """What the row's chat becomes, or both chats of a preference, each with its heading."""
    from tinsmith.data import BadRow, chat_of, preference_of

    tools = row.pop("tools", None) or None
    try:
        if row.get("chosen") is not None:
            prompt, chosen, rejected = preference_of(row)
            chats = {"chosen": [*prompt, chosen], "rejected": [*prompt, rejected]}
        else:
            chats = {"": chat_of(row)}
        found = []
        for name, messages in chats.items():
            made = renderer.examples(messages, train_on, tools)
            for number, example in enumerate(made, 1):
                which = f"example {number} of {len(made)}" if len(made) > 1 else ""
                found.append((" ".join(filter(None, (place, name, which))), example))
    except (TypeError, ValueError) as error:
        raise BadRow(place, str(error)) from None
    return found


def _as_data(place: str, renderer: Renderer, examples: list[tuple[str, Example]]) -> dict[str, Any]:
    return {
        "place": place,
        "renderer": renderer.name,
        "examples": [
            {
                "tokens": example.tokens,
                "weights": example.weights,
                "texts": [renderer.vocabulary.decode([token]) for token in example.tokens],
            }
            for _, example in examples
        ],
    }
