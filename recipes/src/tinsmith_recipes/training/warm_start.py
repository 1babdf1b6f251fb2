"""The stage before reinforcement learning: games of a careless player, so that there is play."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import chz

from tinsmith_recipes.training import Figure, Recipe, Run, exact, setting
from tinsmith_recipes.training.supervised import (
    Supervision,
    Weighed,
    held_out_nll,
    train_supervised,
)

Chat = Sequence[Mapping[str, Any]]
HELD_OUT = 32
STAGE = "warm_start"


@chz.chz
class WarmStart(Recipe):
    """The fields of a recipe whose model first has to learn how a game is played at all."""

    warm_steps: int = setting(
        60,
        "Supervised steps on a careless player's games, enough to make moves that are moves.",
        least=1,
    )
    warm_batch: int = setting(32, "Games or moves in each of those steps.", least=1)
    warm_rate: float = setting(5e-3, "Their peak learning rate; it suits the nano model.", least=0)
    warm_care: float = setting(
        0.5,
        "How often that player plays well: low enough to leave something to learn.",
        least=0,
        most=1,
    )


async def warm_start(run: Run, chats: Sequence[Chat], recipe: WarmStart) -> str:
    """Teach the moves of games that others have played; the state to go on from.

    Args:
        run: of the recipe; the stage gets a folder of its own.
        chats: whole games; every message of the assistant's is trained. The last 32 are held out.
        recipe: how many steps, of what.
    """
    settings = Supervision(
        steps=recipe.warm_steps,
        batch_size=recipe.warm_batch,
        learning_rate=recipe.warm_rate,
        warmup=recipe.warm_steps // 20,
        reduction="sum",  # with mean, a habit that is said in few words would outweigh others
    )

    async def train(stage: Run) -> dict[str, Figure]:
        examples = [
            Weighed.of(example, settings.reduction)
            for chat in chats
            for example in stage.renderer.examples(chat, "all_assistant_messages")
        ]
        await train_supervised(stage, examples[:-HELD_OUT], settings)
        return {"held_out_nll": exact(await held_out_nll(stage, examples[-HELD_OUT:]))}

    state = (await run.in_stage(STAGE, train)).state_path
    assert state is not None
    return state
