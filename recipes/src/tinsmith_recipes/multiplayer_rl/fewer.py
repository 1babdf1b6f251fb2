"""Learning to win in fewer turns: what the games have in common that are rewarded for that."""

from __future__ import annotations

from collections.abc import Sequence

from tinsmith_recipes.training import Figure, Run, batch, mean, share
from tinsmith_recipes.training.rl import Environment, RLSettings, of_episodes, play_all, train_rl


async def learn_to_need_fewer(
    run: Run,
    recipe: RLSettings,
    games: Sequence[Environment],
    *,
    started: str,
    counted: str,
    times: int,
    order: str,
) -> dict[str, Figure]:
    """RL on games in a stage of its own, and what they take before and after.

    Args:
        run: of the recipe.
        recipe: how to train.
        games: all there are; their outcomes have the parts ``won`` and what is counted.
        started: the state to begin from.
        counted: what of a game there should be fewer of, and the name of its figure.
        times: how often each game is played to measure with.
        order: names the seed of the order in which games are trained on.
    """

    async def played(stage: Run) -> list[list[float]]:
        episodes = await play_all(stage, stage.sampler(), games, times=times)
        found = [one.outcome.parts for one in episodes]
        return [[parts[name] for parts in found] for name in (counted, "won")]

    async def train(stage: Run) -> dict[str, Figure]:
        before, _ = await stage.once("before", lambda: played(stage))

        def of_step(step: int) -> Sequence[Environment]:
            return batch(games, recipe.groups_per_batch, step, stage.seed(order))

        async def evaluate() -> dict[str, float]:
            return of_episodes(await play_all(stage, stage.sampler(), games))

        await train_rl(stage, of_step, recipe, evaluate=evaluate if recipe.eval_every else None)
        taken, won = await played(stage)
        return {"before": mean(before), counted: mean(taken), "won": share(won)}

    return (await run.in_stage("rl", train, from_state=started)).figures
