"""Other packages' environments: reasoning-gym's problems, textarena's games, verifiers' tasks."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar, Literal

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.environment.adapters import Problems, reasoning_gym, textarena, verifiers
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, batch, mean, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.rl import Environment, RLSettings, of_episodes, play_all, train_rl
from tinsmith_recipes.training.warm_start import Chat, WarmStart, warm_start

TASKS: dict[str, tuple[str | None, str]] = {
    "reasoning-gym": ("spell_backward", "min_word_len=3,max_word_len=5"),
    "textarena": ("GuessTheNumber-v0", ""),
    "verifiers": (None, ""),
}
CHATS = 2000


@chz.chz
class Environments(WarmStart, RLSettings):
    """Reinforcement learning on an environment that somebody else has made."""

    name: ClassVar[str] = "environment"
    summary: ClassVar[str] = "Learns from environments of reasoning-gym, textarena and verifiers."
    goals: ClassVar[tuple[Goal, ...]] = (Goal("before", most=0.3), Goal("score", least=0.85))
    episode_tokens: ClassVar[float] = 60

    package: Literal["reasoning-gym", "textarena", "verifiers"] = setting(
        "reasoning-gym", "Whose environment; each is an extra, and this one has tasks for nano."
    )
    task: str | None = setting(
        None,
        "The environment's name in its package; by default spell_backward or GuessTheNumber-v0, "
        "and verifiers has none.",
    )
    options: str | None = setting(
        None,
        "Settings of the environment, e.g. min_word_len=3,max_word_len=5, which is what the "
        "default task has, for words that the nano model can learn.",
    )
    problems: int = setting(
        2000, "Problems to learn from, or games that begin differently.", least=1
    )
    held_out: int = setting(100, "Problems that are never trained on, to test with.", least=1)
    tagged: bool = setting(
        False,
        "Asks for the answer of a problem of reasoning-gym between <answer> tags, after thoughts; "
        "the nano model has none.",
    )
    warm_steps: int = setting(
        40,
        "Supervised steps on answers of a careless player, where the package tells right ones; 0 "
        "does none, as large models want it.",
        least=0,
    )
    steps: int = setting(32, "Batches that are played and trained on, one a step.", least=1)
    groups_per_batch: int = setting(
        16, "Problems a step; more make a steadier gradient, and a longer run.", least=1
    )

    def estimate(self) -> Estimate:
        """Steps of both stages; a problem is about 60 tokens of the nano model with its answer."""
        played = self.estimated(self.episode_tokens)
        started = self.warm_steps * self.warm_batch * self.episode_tokens
        return Estimate(played.steps + self.warm_steps, played.tokens + int(started))

    def load(self) -> Problems:
        """What there is to learn from, and to test with.

        Raises:
            ValueError: the package is not installed, or has no such task or option.
        """
        task, usual = (self.task, "") if self.task is not None else TASKS[self.package]
        if task is None:
            raise ValueError("package=verifiers needs task=NAME, of a taskset that is installed")
        if self.tagged and self.package != "reasoning-gym":
            raise ValueError("tagged is for package=reasoning-gym alone")
        words = usual if self.options is None else self.options
        sizes = {"learn": self.problems, "held_out": self.held_out, "seed": self.seed}
        if self.package == "reasoning-gym":
            return reasoning_gym.load(task, words, tagged=self.tagged, **sizes)
        load = textarena.load if self.package == "textarena" else verifiers.load
        return load(task, words, **sizes)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Warm start where there are answers, then RL; mean scores of held-out problems."""
        problems = self.load()
        started: str | None = None
        if self.warm_steps and problems.solved:
            started = await warm_start(run, self._careless(run, problems.solved), self)
        async with problems.serving():
            stage = await run.in_stage(
                "rl", lambda stage: self._learn(stage, problems, started), from_state=started
            )
        return stage.figures

    async def _learn(self, run: Run, problems: Problems, started: str | None) -> dict[str, Figure]:
        held_out = [
            textarena.Against(one, run.base) if one.seats == 2 else one for one in problems.held_out
        ]

        async def score(sampler: SamplingClient) -> list[float]:
            return [one.reward for one in await play_all(run, sampler, held_out)]

        async def evaluate() -> dict[str, float]:
            return of_episodes(await play_all(run, run.sampler(), held_out))

        def environments(step: int) -> Sequence[Environment]:
            return batch(problems.learn, self.groups_per_batch, step, run.seed("problems"))

        found = {"before": mean(await run.once("before", lambda: score(run.base)))}
        if started is not None:
            warm = await run.once("warm", lambda: score(run.sampler()))
            found["after_warm_start"] = mean(warm)
        await train_rl(run, environments, self, evaluate=evaluate if self.eval_every else None)
        return {**found, "score": mean(await score(run.sampler()))}

    def _careless(self, run: Run, solved: Sequence[Chat]) -> list[Chat]:
        """Chats that end in the right answer with probability ``warm_care``, else in another's."""
        random = Random(run.seed("chats"))
        chats: list[Chat] = []
        for _ in range(CHATS):
            chat = random.choice(solved)
            if random.random() >= self.warm_care:
                chat = [*chat[:-1], random.choice(solved)[-1]]
            chats.append(chat)
        return chats


if __name__ == "__main__":
    main(Environments)
