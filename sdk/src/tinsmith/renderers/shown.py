"""An example for people's eyes: its tokens as text, with what is learnt marked.

>>> from tinsmith import renderers
>>> renderer = renderers.get("qwen3_instruct", training.get_tokenizer())
>>> chat = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
>>> print(as_text(renderer.example(chat), renderer))
<|im_start|>user⏎
Hello<|im_end|>⏎
<|im_start|>assistant⏎
⟦Good day.<|im_end|>⟧
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from tinsmith.renderers.renderer import Example, Renderer

# What a reader of several bytes has of a token that ends within a letter
_HALF = "\ufffd"
_MOST_BYTES = 4
_SIGNS = {"\n": "⏎\n", "\r": "␍", "\t": "⇥\t"}
_OPEN, _CLOSED = "⟦", "⟧"
_RESET = "\x1b[0m"
# Learnt, and not; twice each, so that one sees where a token ends
_COLOURS = {True: ("\x1b[32m", "\x1b[1;32m"), False: ("\x1b[2m", "\x1b[0m")}

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; --learnt: #bfe8c4; --edge: #8886; }}
@media (prefers-color-scheme: dark) {{ :root {{ --learnt: #1f5a2b; }} }}
body {{ font: 15px/1.7 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; }}
pre {{ font: 13px/1.9 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
span {{ border-right: 1px solid var(--edge); opacity: .7; }}
span.learnt {{ background: var(--learnt); opacity: 1; }}
i {{ font-style: normal; opacity: .4; }}
</style>
<h1>{title}</h1>
<p>Each token between thin lines. <span class="learnt">What is learnt</span> has weight; hold the
pointer over a token for its number.</p>
{examples}
</html>
"""


@dataclass(frozen=True)
class Shown:
    """Tokens that are a text together (most often one), and their weight."""

    text: str
    tokens: tuple[int, ...]
    weight: float


def parts(example: Example, renderer: Renderer) -> list[Shown]:
    """An example's tokens with their texts; those that share a letter are one part."""
    found: list[Shown] = []
    waiting: list[int] = []
    for place, token in enumerate(example.tokens):
        waiting.append(token)
        weight = example.weights[place]
        text = renderer.vocabulary.decode(waiting)
        is_edge = place + 1 == len(example.tokens) or example.weights[place + 1] != weight
        if not text.endswith(_HALF) or len(waiting) >= _MOST_BYTES or is_edge:
            found.append(Shown(text, tuple(waiting), weight))
            waiting = []
    return found


def summary(example: Example) -> str:
    """How many tokens, and how many of them are learnt."""
    learnt = sum(weight != 0 for weight in example.weights)
    return f"{len(example.tokens)} tokens, {learnt} learnt"


def as_text(example: Example, renderer: Renderer, in_colour: bool = False) -> str:
    """An example for a terminal: what is learnt is green, or stands between ⟦ and ⟧."""
    shown = parts(example, renderer)
    if in_colour:
        return "".join(_coloured(shown)) + _RESET
    return "".join(
        f"{_OPEN}{text}{_CLOSED}" if is_learnt else text
        for is_learnt, group in groupby(shown, lambda part: part.weight != 0)
        for text in ["".join(_visible(part.text) for part in group)]
    )


def as_page(title: str, examples: Sequence[tuple[str, Example]], renderer: Renderer) -> str:
    """Examples, each with its heading, as a page of HTML that needs nothing else."""
    written = "\n".join(
        f"<h2>{html.escape(_visible(heading))}</h2>\n<p>{summary(example)}</p>\n"
        f"<pre>{''.join(_spans(parts(example, renderer)))}</pre>"
        for heading, example in examples
    )
    return _PAGE.format(title=html.escape(_visible(title)), examples=written)


def _coloured(shown: Sequence[Shown]) -> Iterator[str]:
    for place, part in enumerate(shown):
        colour = _COLOURS[part.weight != 0][place % 2]
        yield f"{_RESET}{colour}{_visible(part.text)}"


def _spans(shown: Sequence[Shown]) -> Iterator[str]:
    for part in shown:
        kind = ' class="learnt"' if part.weight else ""
        numbers = " ".join(map(str, part.tokens))
        text = _visible(part.text, lambda sign: f"<i>{sign[0]}</i>{sign[1:]}", html.escape)
        yield f'<span{kind} title="{numbers}, weight {part.weight:g}">{text}</span>'


def _visible(
    text: str, sign: Callable[[str], str] = str, letter: Callable[[str], str] = str
) -> str:
    """A text whose line ends are seen; nothing in it may move the cursor of whoever reads it."""
    return "".join(
        sign(_SIGNS[char]) if char in _SIGNS else letter(char if char.isprintable() else _HALF)
        for char in text
    )
