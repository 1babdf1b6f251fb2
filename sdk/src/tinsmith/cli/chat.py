"""``chat``: one question, or a conversation, through the server's OpenAI-compatible API."""

from __future__ import annotations

import json
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tinsmith import errors
from tinsmith.cli import ids

if TYPE_CHECKING:
    from tinsmith.cli.command import Command

SILENCE_S = 300.0
HELP = "/new forgets what was said, /quit or Ctrl-D ends, everything else is said to the model."


def chat(command: Command) -> None:
    """Answer the prompt, or every line of standard input until it ends."""
    given = command.arguments
    if given.system and given.raw:
        raise ValueError("--system needs a chat template, and --raw uses none")
    if ids.means_checkpoint(given.model):
        given.model = ids.checkpoint(command, given.model, sampler_only=True, whole=True)
    beginning = [{"role": "system", "content": given.system}] if given.system else []
    said = list(beginning)
    talking = given.prompt is None and sys.stdin.isatty() and not command.out.as_json
    if talking:
        print(f"{given.model} on {command.settings.base_url}. /help tells what there is.")
    for line in [given.prompt] if given.prompt is not None else _lines():
        if line == "/new":
            said = list(beginning)
            continue
        said.append({"role": "user", "content": line})
        answer = _answer(command, [{"role": "user", "content": line}] if given.raw else said)
        if command.out.as_json:
            command.out.data({"model": given.model, "prompt": line, "answer": answer})
        said.append({"role": "assistant", "content": answer})


def _lines() -> Iterator[str]:
    """What the user types; the prompt sign is for terminals only."""
    while True:
        try:
            line = input("› " if sys.stdin.isatty() else "").strip()
        except EOFError:
            if sys.stdin.isatty():
                print()
            return
        if line in ("/exit", "/quit"):
            return
        if line == "/help":
            print(HELP)
        elif sys.stdin.isatty() and re.fullmatch(r"/[a-z]+", line) and line != "/new":
            print(f"there is no {line}. {HELP}")
        elif line:
            yield line


def _answer(command: Command, said: list[dict[str, str]]) -> str:
    """The whole answer; printed piece by piece as it comes."""
    parts = []
    for part in _ask(command, said):
        parts.append(part)
        if not command.out.as_json:
            print(part, end="", flush=True)
    if not command.out.as_json:
        print()
    return "".join(parts)


def _ask(command: Command, said: list[dict[str, str]]) -> Iterator[str]:
    given = command.arguments
    body: dict[str, Any] = {
        "model": given.model,
        "max_tokens": given.max_tokens,
        "temperature": given.temperature,
        "stream": True,
    }
    if given.seed is not None:
        body["seed"] = given.seed
    if given.raw:
        body["prompt"] = said[-1]["content"]
    else:
        body["messages"] = said
    where = command.settings
    route = "completions" if given.raw else "chat/completions"
    request = urllib.request.Request(
        f"{where.base_url}/v1/{route}",
        json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {where.api_key}"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SILENCE_S) as reply:
            if reply.headers.get_content_type() == "text/event-stream":
                yield from _read_events(reply)
            else:  # a server that cannot stream answers at once
                yield _content(json.load(reply))
    except urllib.error.HTTPError as error:
        raise _refusal(error) from None
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise errors.APIConnectionError(
            f"cannot reach {where.base_url} ({reason}). Is the server running? "
            "Its address comes from --base-url or TINSMITH_BASE_URL"
        ) from error


def _read_events(reply: Any) -> Iterator[str]:
    """The texts in a stream of server-sent events."""
    for line in reply:
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            return
        event = json.loads(data)
        if "error" in event:
            raise errors.RequestFailedError(event["error"].get("message", "the server failed"))
        yield _content(event)


def _content(event: dict[str, Any]) -> str:
    """The text of a whole answer or of a piece of one."""
    for choice in event.get("choices") or ():
        said = choice.get("delta") or choice.get("message") or {}
        return str(said.get("content") or choice.get("text") or "")
    return ""


def _refusal(error: urllib.error.HTTPError) -> errors.APIStatusError:
    try:
        body = json.load(error)
        words = body["error"]["message"] if isinstance(body.get("error"), dict) else body["detail"]
    except (ValueError, KeyError, AttributeError):
        words = error.reason
    return errors.from_status(error.code, str(words), body=None, headers={}, what="/v1")
