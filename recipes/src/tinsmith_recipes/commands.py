"""What the recipes add to the ``tinsmith`` command line: recipes, train, eval."""

from __future__ import annotations

import argparse
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tinsmith.cli.command import Command

HERE = "tinsmith_recipes.commands"
EVALUATION = "tinsmith_recipes.evaluation.command"


def add(command: Any, groups: Any, group: Any) -> None:
    """Add the commands to ``tinsmith``'s parser; nothing that takes time is imported."""
    recipes = group("recipes", "recipes: list, show, run, prove")
    command(recipes, "list", HERE, "list_recipes", "list the recipes that are installed")
    shown = command(recipes, "show", HERE, "show_recipe", "show a recipe and all its settings")
    shown.add_argument("name", help="its name, as `tinsmith recipes list` shows it")
    ran = command(recipes, "run", HERE, "run_recipe", "run a recipe")
    ran.add_argument("name", help="its name, as `tinsmith recipes list` shows it")
    _settings(ran, "settings other than their defaults; `tinsmith recipes show` explains them")
    proven = "run recipes as they stand with several seeds, and see whether they reach their goals"
    _proof(command(recipes, "prove", HERE, "prove_recipes", proven))
    trained = "fine-tune a model on chats of one's own, with nothing to configure"
    _training(command(groups, "train", HERE, "train", trained))
    examined = "evaluate a model or a checkpoint beside its base"
    _evaluation(
        command(groups, "eval", "tinsmith_recipes.evaluation.command", "evaluate", examined)
    )


def _proof(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", nargs="*", metavar="NAME", help="recipes (all that are installed)")
    parser.add_argument(
        "--seeds", type=_count, default=1, metavar="N", help="with the seeds 0 to N-1 (1)"
    )
    parser.add_argument(
        "--folder",
        default="tinsmith-runs/proof",
        metavar="FOLDER",
        help="where their files go; what is finished there is not run again (tinsmith-runs/proof)",
    )
    parser.add_argument(
        "--report", metavar="FILE", help="where the report goes, as JSON (FOLDER/report.json)"
    )


def _training(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "data", help="a .jsonl or .parquet file of chats, or a data set of the hub, owner/name"
    )
    parser.add_argument("--model", help="the base model to tune; `tinsmith models` lists them")
    _settings(parser, "settings of chat_sl, if any; `tinsmith recipes show chat_sl` lists them")


def _settings(parser: argparse.ArgumentParser, words: str) -> None:
    """All that follows are settings; an option may stand among them."""
    parser.add_argument("settings", nargs=argparse.REMAINDER, metavar="key=value", help=words)
    # argparse writes three dots for what remains, whatever it is called
    usage = parser.format_usage().removeprefix("usage: ").rstrip().removesuffix("...")
    parser.usage = usage.replace("%", "%%") + "[key=value ...]"


def _evaluation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        help="a base model's name, or a sampler checkpoint: tinker://…, its beginning, or latest",
    )
    parser.add_argument(
        "--on",
        nargs="+",
        action="extend",
        required=True,
        metavar="SET",
        help="general (what a tuned model should still know), one of its tasks, pig_latin, "
        "chat_sl; a .jsonl or .parquet file of chats whose last message is the right answer; a "
        "data set of the hub, owner/name[:configuration][@split]; inspect:TASK, a task of "
        "inspect-ai",
    )
    parser.add_argument(
        "--base", metavar="MODEL", help="what to compare with (a checkpoint's base model)"
    )
    parser.add_argument(
        "--limit", type=_count, default=100, metavar="N", help="at most N chats a set (100)"
    )
    parser.add_argument(
        "--max-tokens", type=_count, default=256, metavar="N", help="longest answer (256)"
    )
    parser.add_argument(
        "--renderer", metavar="NAME", help="how chats are written (as the model was trained)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="N", help="of sets that are generated (0)"
    )


def _count(given: str) -> int:
    count = int(given)
    if count < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return count


# ---- what they do


def list_recipes(command: Command) -> int:
    """Name and summary of each."""
    from tinsmith_recipes.training.command import find, installed

    found = [find(name) for name in installed()]
    if command.out.as_json:
        print(json.dumps([{"name": one.name, "summary": one.summary} for one in found]))
        return 0
    width = max(len(one.name) for one in found)
    for one in found:
        print(f"{one.name:{width}}  {one.summary}")
    return 0


def show_recipe(command: Command) -> int:
    """A recipe with its settings, or as JSON Schema."""
    from tinsmith_recipes.training.command import find, told
    from tinsmith_recipes.training.recipe import describe

    recipe = find(command.arguments.name)
    print(json.dumps(describe(recipe), indent=2) if command.out.as_json else told(recipe))
    return 0


def run_recipe(command: Command) -> int:
    """Run one."""
    from tinsmith_recipes.training.command import find, run

    given = _with_remaining(command)
    return run(find(given.name), given.settings, as_json=given.json)


def prove_recipes(command: Command) -> int:
    """Run recipes with several seeds; 0 only if every goal is reached with each of them."""
    from tinsmith_recipes.training.proving import prove

    _choose_server(command)
    given = command.arguments
    return prove(given.names, given.seeds, given.folder, given.report, as_json=command.out.as_json)


def train(command: Command) -> int:
    """Chat SFT with nothing to configure: the recipe chat_sl on the data given."""
    from tinsmith_recipes.chat_sl.train import ChatSL
    from tinsmith_recipes.training.command import run

    given = _with_remaining(command)
    if given.model is None:
        raise ValueError("--model says which base model is tuned; `tinsmith models` lists them")
    chosen = [f"data={given.data}", f"base_model={given.model}"]
    return run(ChatSL, [*chosen, *given.settings], as_json=given.json)


def _with_remaining(command: Command) -> argparse.Namespace:
    """The arguments, those options among them too that stand between settings."""
    given = command.arguments
    parser = argparse.ArgumentParser("tinsmith", allow_abbrev=False, add_help=False)
    parser.add_argument("--json", action="store_true", default=given.json)
    for name in ("base_url", "api_key", *(["model"] if hasattr(given, "model") else [])):
        parser.add_argument(f"--{name.replace('_', '-')}", default=getattr(given, name))
    parser.add_argument("settings", nargs="*")
    for name, value in vars(parser.parse_intermixed_args(given.settings)).items():
        setattr(given, name, value)
    command.out.as_json = given.json
    _choose_server(command)
    return given


def _choose_server(command: Command) -> None:
    """Let recipes, which know the environment alone, find the server that the command names."""
    given = command.arguments
    if given.base_url:
        os.environ["TINSMITH_BASE_URL"] = given.base_url
    if given.api_key:
        os.environ["TINSMITH_API_KEY"] = given.api_key
