"""Tutorial: an environment of one's own on the training library."""

# %% [markdown]
# # An environment of your own
#
# [RL from scratch](rl_from_scratch.py) shows what happens. With the training library
# (`tinsmith-recipes`) you write the environment alone, and groups, advantages, KL,
# checkpoints, resuming, logs and transcripts are there.
#
# ## The environment
#
# `play` is one episode, written down as it goes: call the policy with messages, look
# at what came, call it again, and say at the end what it was worth. Here the model
# names a thing and then another one; both have to have four letters, and to differ.

# %%
import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import chz

from tinsmith_recipes.training import Estimate, Figure, Run, mean
from tinsmith_recipes.training.asking import said
from tinsmith_recipes.training.rl import (
    Environment,
    Outcome,
    Policy,
    RLSettings,
    play_all,
    train_rl,
)


@dataclass(frozen=True)
class TwoNames(Environment):
    """Asks for a thing, then for another; half a point for each of four letters."""

    thing: str

    async def play(self, policy: Policy) -> Outcome:
        """Two turns."""
        chat = [{"role": "user", "content": f"Name a {self.thing}."}]
        first = said(await policy(chat))
        chat += [
            {"role": "assistant", "content": first},
            {"role": "user", "content": f"Name another {self.thing}."},
        ]
        second = said(await policy(chat))
        right = [len(name) == 4 and name.isalpha() for name in (first, second)]
        differ = first != second
        return Outcome(
            sum(right) / 2 * (1.0 if differ else 0.5), {"differ": float(differ)}
        )


# %% [markdown]
# Nothing of an episode is kept in the object: the same one is played by a whole group
# at once. `Outcome`'s second part is logged beside the reward, as `env/all/differ`.
#
# ## The recipe
#
# Which environments a step plays is a function of the step, so that a run that is
# killed goes on with the same ones. Every setting of the library is one of the
# recipe's.

# %%
THINGS = ["tool", "bird", "tree", "metal", "fruit", "river", "fish", "coin"]
HELD_OUT = [TwoNames(thing) for thing in ("house", "game", "sound", "city")]


@chz.chz
class Names(RLSettings):
    """Names of four letters."""

    name: ClassVar[str] = "names"
    summary: ClassVar[str] = "Names things in four letters, twice."

    def estimate(self) -> Estimate:
        """Both questions with their answers are about 60 tokens."""
        return self.estimated(60)

    async def train(self, run: Run) -> dict[str, Figure]:
        """The reward on things that are not trained on, before and after."""

        def environments(step: int) -> Sequence[TwoNames]:
            return [TwoNames(thing) for thing in THINGS]

        async def score() -> list[float]:
            sampler = run.sampler()
            episodes = await play_all(run, sampler, HELD_OUT, times=4)
            return [episode.outcome.reward for episode in episodes]

        before = await run.once("before", score)
        await train_rl(run, environments, self)
        return {"before": mean(before), "after": mean(await score())}


# %% [markdown]
# ## Run it
#
# The settings below are for the nano model. `log_path` is the run's folder: the same
# program again goes on from its last checkpoint, and a finished folder gives its
# summary.

# %%
recipe = Names(
    log_path="names",
    steps=6,
    groups_per_batch=8,
    group_size=4,
    learning_rate=4e-3,
    max_tokens=8,
    save_every=0,
)
summary = asyncio.run(recipe.run())
for name, figure in summary.figures.items():
    print(name, figure)

# %% [markdown]
# Six steps are few; the rewards of the steps, which stand in the folder with everything
# else that was measured, rise all the same.

# %%
with open("names/metrics.jsonl") as file:
    rows = [json.loads(line) for line in file]
rewards = [row["env/all/reward/total"] for row in rows if "env/all/reward/total" in row]
print([round(reward, 2) for reward in rewards])
assert max(rewards[3:]) > rewards[0]

# %% [markdown]
# - In the folder: `metrics.jsonl`, `summary.json`, checkpoints and, as pages to read,
#   transcripts of what was said.
# - With a line in your package's `pyproject.toml` it is on the command line, too: [a
#   recipe of your own](../../../recipes/README.md#a-recipe-of-your-own).
# - Two players, tools, a judge that sees all answers of a group: see the library's
#   `environment` module, and the recipes that are
#   [installed](../which_recipe.md#ready-to-run).
