"""Twenty questions: learns to ask what halves the things that are left, and then to name one."""

from __future__ import annotations

from random import Random
from typing import ClassVar

import chz

from tinsmith_recipes.multiplayer_rl.fewer import learn_to_need_fewer
from tinsmith_recipes.multiplayer_rl.moves import lessons
from tinsmith_recipes.multiplayer_rl.twenty_questions.data import (
    WORLD,
    World,
    careless_game,
    read_world,
)
from tinsmith_recipes.multiplayer_rl.twenty_questions.env import Answerer, Asked
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.distillation import open_teacher
from tinsmith_recipes.training.rl import RLSettings
from tinsmith_recipes.training.warm_start import Chat, WarmStart, warm_start

GAMES = 500
TOKENS_A_TURN = 60
TURNS_A_GAME = 8


@chz.chz
class TwentyQuestions(WarmStart, RLSettings):
    """Reinforcement learning on a dialogue whose other side is a rule or a model."""

    name: ClassVar[str] = "multiplayer_rl.twenty_questions"
    summary: ClassVar[str] = "Learns to find out by yes and no what is thought of."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", least=10.0),
        Goal("questions", most=9.0),
    )

    warm_steps: int = setting(
        60,
        "Supervised steps on a careless player's questions, half of which are any word.",
        least=1,
    )
    warm_batch: int = setting(64, "Questions in each of those steps.", least=1)
    steps: int = setting(20, "Batches of games, enough to settle on what tells most.", least=1)
    learning_rate: float = setting(
        1e-3,
        "The peak rate; the default suits the nano model, others want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    groups_per_batch: int = setting(8, "Things that are thought of in a step.", least=1)
    max_tokens: int = setting(
        12, "Longest question; a word is two to seven tokens of nano.", least=1
    )
    world: str | None = setting(
        None,
        'A JSON file of things and what is true of each, {"owl": ["alive", "flies"], …}; by '
        "default sixteen things.",
    )
    limit: int = setting(20, "Questions after which a game is lost, twenty by custom.", least=1)
    remembers: bool = setting(
        False,
        "Shows the whole game; by default only the last answer is shown, and ends with the "
        "things that are left, which spares the nano model the memory.",
    )
    answerer: str | None = setting(
        None,
        "Who answers: a base model or the tinker:// address of a sampler checkpoint; by default "
        "the list of what is true, which is never wrong.",
    )
    answer_tokens: int = setting(
        8, "Longest answer of that model; the first yes or no of it counts.", least=1
    )
    test_games: int = setting(
        4, "Games for each thing before and after training, to measure with.", least=1
    )

    @chz.validate
    def _check(self) -> None:
        if self.answerer is not None and not self.remembers:
            raise ValueError(
                "an answerer may be asked anything and may be wrong, so what is left cannot be "
                "shown: it needs remembers=true"
            )

    def estimate(self) -> Estimate:
        """A turn is about 60 tokens of the nano model, and a game some eight of them."""
        games = self.steps * self.groups_per_batch * self.group_size
        turns = games * TURNS_A_GAME + self.warm_steps * self.warm_batch
        return Estimate(self.steps + self.warm_steps, turns * TOKENS_A_TURN)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Warm start, then RL; the questions that a game takes, before and after."""
        world = WORLD if self.world is None else read_world(self.world)
        answerer = await self._answerer(run)
        return await learn_to_need_fewer(
            run,
            self,
            [Asked(secret, world, self.limit, self.remembers, answerer) for secret in world],
            started=await warm_start(run, self._careless(world, run.seed("games")), self),
            counted="questions",
            times=self.test_games,
            order="things",
        )

    async def _answerer(self, run: Run) -> Answerer | None:
        if self.answerer is None:
            return None
        model = await open_teacher(run, self.answerer)
        return Answerer(model.sampler, model.renderer, self.answer_tokens)

    def _careless(self, world: World, seed: int) -> list[Chat]:
        """What games of a careless player teach."""
        random, things = Random(seed), list(world)
        return [
            lesson
            for _ in range(GAMES)
            for lesson in lessons(
                careless_game(
                    random.choice(things),
                    world,
                    self.limit,
                    self.warm_care,
                    random,
                    remembers=self.remembers,
                ),
                remembers=self.remembers,
            )
        ]


if __name__ == "__main__":
    main(TwentyQuestions)
