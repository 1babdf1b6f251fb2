"""Every command with its arguments. Nothing here is imported that takes time."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_PATH = "a checkpoint: tinker://<run>/<kind>/<name>, the beginning of one, or latest"
_RUN = "its id, <session>:train:<n>, the beginning of one, or latest"
COMMANDS = "tinsmith.commands"
"""Entry points of packages that add commands: functions of (command, groups, group), as below."""
OF_THE_RECIPES = {
    "recipes": "recipes: list, show, run, prove",
    "train": "fine-tune a model on chats of one's own",
    "eval": "evaluate a model or a checkpoint beside its base",
}
_SESSION = "its id, the beginning of one, or latest"


def build(version: str) -> argparse.ArgumentParser:
    """The whole command line."""
    common = _common()
    parser = argparse.ArgumentParser(
        prog="tinsmith",
        description="Training runs, checkpoints and models of a Tinsmith server.",
        epilog="The server and key: --base-url and --api-key, else TINSMITH_BASE_URL and "
        "TINSMITH_API_KEY, else TINKER_…, else what `tinsmith login` stored. Exit codes: 0 done, "
        "1 failed, 2 not understood, 130 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"tinsmith {version}")
    groups = parser.add_subparsers(required=True, metavar="COMMAND", title="commands")

    def command(
        to: Any, name: str, module: str, function: str, words: str
    ) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = to.add_parser(
            name, help=words, description=words, parents=[common]
        )
        made.set_defaults(module=module, function=function)
        return made

    def group(name: str, words: str) -> Any:
        made = groups.add_parser(name, help=words, description=words)
        return made.add_subparsers(required=True, metavar="COMMAND", title="commands")

    _account(command, groups)
    _runs(command, group("runs", "training runs: list, show, watch"))
    _checkpoints(command, group("checkpoints", "saved weights: list, show, download, publish, …"))
    _sessions(command, group("sessions", "sessions: list, show, trace"))
    _render(command, groups)
    chat = command(groups, "chat", "chat", "chat", "talk to a model in the terminal")
    chat.add_argument(
        "model",
        help="a base model's name, or a sampler checkpoint: tinker://…, its beginning, or latest",
    )
    chat.add_argument("prompt", nargs="?", help="ask this alone; otherwise lines are read")
    chat.add_argument(
        "--system", metavar="TEXT", help="what the model is told before anything else"
    )
    chat.add_argument(
        "--max-tokens", type=int, default=512, metavar="N", help="longest answer (512)"
    )
    chat.add_argument(
        "--temperature", type=float, default=0.7, metavar="T", help="0 is not random (0.7)"
    )
    chat.add_argument("--seed", type=int, metavar="N", help="makes answers repeatable")
    chat.add_argument("--raw", action="store_true", help="continue the text, without a template")
    _added(command, groups, group)
    completion = command(
        groups, "completion", "completion", "script", "print the shell's completion script"
    )
    completion.add_argument(
        "shell", choices=["bash", "zsh", "fish"], help="the script says where to put it"
    )
    return parser


def _added(command: Any, groups: Any, group: Any) -> None:
    """The commands of other installed packages; those of the recipes say how to get them."""
    for found in sorted(entry_points(group=COMMANDS)):
        found.load()(command, groups, group)
    for name, words in OF_THE_RECIPES.items():
        if name not in groups.choices:
            absent = command(groups, name, "absent", "explain", f"{words} (not installed)")
            absent.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)


def _common() -> argparse.ArgumentParser:
    """What every command takes."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON")
    common.add_argument("--base-url", metavar="URL", help="the server")
    common.add_argument("--api-key", metavar="KEY", help="the API key")
    common.add_argument(
        "--retry-seconds",
        type=float,
        default=10.0,
        metavar="S",
        help="how long to keep trying while the server cannot be reached (10)",
    )
    return common


def _account(command: Callable[..., argparse.ArgumentParser], to: Any) -> None:
    command(to, "login", "account", "login", "store a server and an API key, once they work")
    logout = command(to, "logout", "account", "logout", "forget a server's key")
    logout.add_argument("--revoke", action="store_true", help="also end the key on the server")
    command(to, "whoami", "account", "whoami", "show whose key it is")
    models = command(to, "models", "account", "models", "list the base models on offer")
    models.add_argument("filter", nargs="?", help="a part of the name")
    usage = command(to, "usage", "account", "usage", "show what the team has used")
    usage.add_argument(
        "--days", type=_number(1, 14), default=1, metavar="N", help="the last N days, 1 to 14 (1)"
    )
    kinds = ["kind", "model", "session", "project", "hour"]
    usage.add_argument("--by", choices=kinds, default="kind", help="what to sum up for (kind)")


def _runs(command: Callable[..., argparse.ArgumentParser], to: Any) -> None:
    runs = command(to, "list", "runs", "list_runs", "list training runs, newest first")
    _page(runs)
    runs.add_argument("--project", metavar="ID", help="of this project alone")
    runs.add_argument("--accessible", action="store_true", help="also those of others one may see")
    shown = command(to, "show", "runs", "show", "show a run, its checkpoints and last metrics")
    shown.add_argument("run", help=_RUN)
    watched = command(to, "watch", "runs", "watch", "follow a run's metrics as they come")
    watched.add_argument("run", help=_RUN)
    watched.add_argument("--key", action="append", default=[], help="only this metric; repeatable")
    watched.add_argument(
        "--interval", type=float, default=1.0, metavar="S", help="seconds between looks (1)"
    )
    watched.add_argument("--no-follow", action="store_true", help="print what there is, and end")


def _checkpoints(command: Callable[..., argparse.ArgumentParser], to: Any) -> None:
    listed = command(to, "list", "checkpoints", "list_checkpoints", "list checkpoints")
    _page(listed)
    listed.add_argument(
        "--run", help="of this training run alone: its id, the beginning of one, or latest"
    )

    def one(name: str, words: str) -> argparse.ArgumentParser:
        made = command(to, name, "checkpoints", name, words)
        made.add_argument("path", help=_PATH)
        return made

    one("show", "show a checkpoint")
    download = one("download", "fetch a checkpoint's files, for PEFT, vLLM, …")
    download.add_argument("-o", "--output", metavar="FOLDER", help="a new folder (its name)")
    one("publish", "let every team load and sample a checkpoint")
    one("unpublish", "keep a checkpoint to one's own team again")
    ttl = one("ttl", "say when a checkpoint is deleted")
    ttl.add_argument("after", type=duration, help="so long from now: 3600, 12h, 7d; or never")
    words = "delete checkpoints; a day long they can be brought back"
    deleted = command(to, "delete", "checkpoints", "delete", words)
    deleted.add_argument("paths", nargs="+", metavar="path", help=_PATH)
    deleted.add_argument("-y", "--yes", action="store_true", help="do not ask")
    push = one("push", "upload a checkpoint to the Hugging Face hub")
    push.add_argument("repository", help="owner/name on the hub")
    push.add_argument("--private", action="store_true", help="if it is made anew, make it private")
    push.add_argument("--revision", help="a branch other than main")


def _sessions(command: Callable[..., argparse.ArgumentParser], to: Any) -> None:
    listed = command(to, "list", "sessions", "list_sessions", "list sessions, newest first")
    listed.add_argument(
        "--limit", type=_number(1, 200), default=20, metavar="N", help="at most N, up to 200 (20)"
    )
    listed.add_argument("--name", help="with this display name")
    listed.add_argument(
        "--status",
        choices=["active", "cancelled", "failed", "client_finished"],
        action="append",
        help="that stand so; repeatable",
    )
    shown = command(to, "show", "sessions", "show", "show a session's runs and samplers")
    shown.add_argument("session", help=_SESSION)
    trace = command(to, "trace", "sessions", "trace", "save what a session did, for Perfetto")
    trace.add_argument("session", help=_SESSION)
    trace.add_argument("-o", "--output", metavar="FILE", help="a new file (<session>.trace.json)")


def _render(command: Callable[..., argparse.ArgumentParser], to: Any) -> None:
    render = command(to, "render", "render", "render", "show a chat as tokens, and what is learnt")
    render.add_argument("source", help="a file .jsonl or .parquet, or a data set: owner/name")
    render.add_argument("--row", type=_number(1, 10**9), default=1, metavar="N", help="which (1)")
    render.add_argument("--split", help="of a data set (train)")
    render.add_argument("--model", help="a base model of the server's, or a model's folder")
    render.add_argument("--renderer", metavar="NAME", help="another one than the model's own")
    render.add_argument("--tokenizer", metavar="FOLDER", help="another one than the model's own")
    render.add_argument(
        "--train-on",
        default="last_assistant_message",
        metavar="WHAT",
        help="what is learnt: all_assistant_messages, all_tokens, … (last_assistant_message)",
    )
    render.add_argument("--html", metavar="FILE", help="write it as a page, too")


def _page(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", type=_number(1, 100_000), default=20, metavar="N", help="at most N (20)"
    )
    parser.add_argument(
        "--offset", type=_number(0, 2**62), default=0, metavar="N", help="skip the newest N"
    )


def _number(low: int, high: int) -> Callable[[str], int]:
    def number(given: str) -> int:
        value = int(given)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be from {low} to {high}")
        return value

    return number


def duration(given: str) -> int | None:
    """Seconds; None for never.

    >>> duration("12h"), duration("never")
    (43200, None)
    """
    if given == "never":
        return None
    match = re.fullmatch(r"(\d{1,12})([smhdw]?)", given)
    if match is None:
        raise argparse.ArgumentTypeError(
            f"{given!r} is no duration; it looks like 3600, 90m, 12h, 7d, 2w or never"
        )
    return int(match[1]) * _UNITS[match[2] or "s"]
