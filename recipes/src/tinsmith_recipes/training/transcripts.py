"""Transcripts: what was sampled at a step, as a page that needs nothing but a browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

_PAGE = """\
<!doctype html>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }}
body {{ max-width: 52rem; margin: 2rem auto; padding: 0 1rem }}
details {{ border: 1px solid #8884; border-radius: 8px; margin: .6rem 0; padding: .5rem .9rem }}
summary {{ cursor: pointer; font-variant-numeric: tabular-nums }}
.message {{ border-left: 3px solid #8886; margin: .6rem 0; padding-left: .8rem }}
.assistant {{ border-color: #2a78d6 }}
.role {{ font-size: .8rem; opacity: .7 }}
pre {{ margin: 0; font: 13px/1.5 ui-monospace, monospace; white-space: pre-wrap }}
</style>
<h1>{title}</h1>
{episodes}
"""


def write(path: Path, title: str, episodes: Iterable[Mapping[str, Any]]) -> None:
    """Write a page.

    Args:
        path: the file; its folder is made.
        title: its heading.
        episodes: mappings with ``messages`` and, if there are, ``reward`` and ``note``.
    """
    path.parent.mkdir(exist_ok=True)
    body = "\n".join(_episode(number, one) for number, one in enumerate(episodes))
    path.write_text(_PAGE.format(title=escape(title), episodes=body))


def _episode(number: int, episode: Mapping[str, Any]) -> str:
    reward = episode.get("reward")
    head = f"{number}" + ("" if reward is None else f" · reward {reward:.3g}")
    if episode.get("note"):
        head += f" · {episode['note']}"
    messages = "".join(_message(message) for message in episode["messages"])
    opened = " open" if number < 8 else ""
    return f"<details{opened}><summary>{escape(head)}</summary>{messages}</details>"


def _message(message: Mapping[str, Any]) -> str:
    role = escape(str(message["role"]))
    return (
        f'<div class="message {role}"><div class="role">{role}</div>'
        f"<pre>{escape(_text(message))}</pre></div>"
    )


def _text(message: Mapping[str, Any]) -> str:
    content = message.get("content") or ""
    if not isinstance(content, str):
        content = "".join(_part(part) for part in content)
    calls: Sequence[Mapping[str, Any]] = message.get("tool_calls") or ()
    said = [f"{one['function']['name']}({one['function']['arguments']})" for one in calls]
    return "\n".join([content, *said] if content else said)


def _part(part: Mapping[str, Any]) -> str:
    return str(part.get("text") or part.get("thinking") or "")
