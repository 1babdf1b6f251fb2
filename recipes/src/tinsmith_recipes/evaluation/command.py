"""``tinsmith eval MODEL_OR_CHECKPOINT --on SET…``: a model on sets of chats, beside its base."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tinsmith import RestClient, SamplingClient, ServiceClient, errors, renderers
from tinsmith.types import ParsedCheckpointTinkerPath
from tinsmith_recipes.evaluation import inspecting, sets
from tinsmith_recipes.evaluation.comparison import compare
from tinsmith_recipes.evaluation.examining import Scores, examine
from tinsmith_recipes.evaluation.report import OfSet

if TYPE_CHECKING:
    from tinsmith.cli.command import Command

CHECKPOINT = "tinker://"
INSPECT = "inspect:"


@dataclass
class Examined:
    """A model that is asked."""

    name: str
    base: str
    sampler: SamplingClient
    renderer: renderers.Renderer


def evaluate(command: Command) -> int:
    """Evaluate, and print a table for each set, or JSON."""
    given = command.arguments
    tasks = [name.removeprefix(INSPECT) for name in given.on if name.startswith(INSPECT)]
    if tasks:
        inspecting.library()  # before anything takes time
    loaded = [
        (name, *sets.load(name, given.limit, given.seed))
        for name in given.on
        if not name.startswith(INSPECT)
    ]
    given.model, base = _whole(command, given.model), given.base and _whole(command, given.base)
    base_name, found = asyncio.run(_evaluate(command, given.model, base, loaded))
    if tasks:
        where = command.settings
        found += inspecting.inspect_tasks(where, given.model, base_name, tasks, given.limit)
    if command.out.as_json:
        told = {"model": given.model, "base": base_name, "sets": [one.plain() for one in found]}
        print(json.dumps(told, ensure_ascii=False))
        return 0
    print(f"{given.model}{f' beside {base_name}' if base_name else ''}")
    for one in found:
        print("", *one.lines(), sep="\n")
    return 0


async def _evaluate(
    command: Command, model: str, base: str | None, loaded: list[tuple[str, sets.Chats, list[str]]]
) -> tuple[str | None, list[OfSet]]:
    """The base's name, and what was found on each set."""
    given, where = command.arguments, command.settings
    async with ServiceClient(base_url=where.base_url, api_key=where.api_key) as service:
        ours = await _open(service, model, given.renderer)
        if base is None and model.startswith(CHECKPOINT):
            base = await ours.sampler.get_base_model_async()
        theirs = await _open(service, base, given.renderer) if base and base != model else None
        asked = [ours] if theirs is None else [ours, theirs]
        longest = await _longest(service, asked)
        found = []
        for name, every, left_out in loaded:
            chats = _askable(name, every, asked, longest, left_out)
            print(f"{name}: asking {len(chats)} chats", file=sys.stderr)
            mine = await _ask(ours, chats, given.max_tokens)
            other = await _ask(theirs, chats, given.max_tokens) if theirs else None
            found.append(OfSet(name, len(chats), compare(chats, mine, other), left_out))
        return theirs.name if theirs else None, found


async def _longest(service: ServiceClient, models: list[Examined]) -> int:
    """How many tokens all models take."""
    offered = (await service.get_server_capabilities_async()).supported_models
    contexts = {model.model_name: model.max_context_length for model in offered}
    return min(contexts.get(one.base) or 1 << 30 for one in models)


def _askable(
    name: str, chats: sets.Chats, models: list[Examined], longest: int, left_out: list[str]
) -> sets.Chats:
    """The chats that all models can be asked; adds to ``left_out`` why others are not.

    Raises:
        ValueError: there is none.
    """
    kept = []
    for number, chat in enumerate(chats, 1):
        try:
            tokens = max(len(model.renderer.example(chat).tokens) for model in models)
            if tokens > longest:
                raise ValueError(f"it has {tokens} tokens, and {longest} is the most")
        except (TypeError, ValueError) as error:
            left_out.append(f"chat {number}: {error}")
        else:
            kept.append(chat)
    if not kept:
        raise ValueError(f"{name}: no chat can be asked; the first: {left_out[0]}")
    return kept


async def _ask(model: Examined, chats: sets.Chats, max_tokens: int) -> Scores:
    return await examine(model.sampler, model.renderer, chats, max_tokens=max_tokens)


async def _open(service: ServiceClient, name: str, renderer: str | None) -> Examined:
    is_checkpoint = name.startswith(CHECKPOINT)
    sampler = await service.create_sampling_client_async(
        model_path=name if is_checkpoint else None, base_model=None if is_checkpoint else name
    )
    base = await sampler.get_base_model_async() if is_checkpoint else name
    tokenizer = sampler.get_tokenizer()
    if renderer is None and is_checkpoint:
        renderer = _trained_with(service.create_rest_client(), name)
    if renderer is not None:
        return Examined(name, base, sampler, renderers.get(renderer, tokenizer))
    return Examined(name, base, sampler, renderers.for_model(base, tokenizer))


def _trained_with(rest: RestClient, checkpoint: str) -> str | None:
    """The renderer that a checkpoint's run says it was trained with."""
    run = ParsedCheckpointTinkerPath.from_tinker_path(checkpoint).training_run_id
    try:
        metadata = rest.get_training_run(run).result().user_metadata or {}
    except errors.TinsmithError:  # of another team, which published the checkpoint alone
        return None
    name = metadata.get("renderer_name")
    return name if name in renderers.FAMILIES else None


def _whole(command: Command, name: str) -> str:
    """A checkpoint's whole path, if its beginning or ``latest`` was given."""
    from tinsmith.cli import ids

    if ids.means_checkpoint(name):
        return ids.checkpoint(command, name, sampler_only=True, whole=True)
    return name
