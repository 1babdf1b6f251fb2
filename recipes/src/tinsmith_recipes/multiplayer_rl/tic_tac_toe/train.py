"""Tic-tac-toe: learns not to lose to whoever plays at random, nor to itself."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar, Literal

import chz

from tinsmith_recipes.multiplayer_rl.tic_tac_toe.data import at_random, careless_lessons, perfect
from tinsmith_recipes.multiplayer_rl.tic_tac_toe.env import Against, AgainstItself
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, setting, share
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.order import seed_of
from tinsmith_recipes.training.rl import (
    Environment,
    Episode,
    RLSettings,
    of_episodes,
    play_all,
    train_rl,
)
from tinsmith_recipes.training.warm_start import Chat, WarmStart, warm_start

GAMES = 3000
TOKENS_A_MOVE = 50
MOVES_A_GAME = 3.5


@chz.chz
class TicTacToe(WarmStart, RLSettings):
    """Reinforcement learning on a game of two."""

    name: ClassVar[str] = "multiplayer_rl.tic_tac_toe"
    summary: ClassVar[str] = "Learns tic-tac-toe against a fixed player, or against itself."
    goals: ClassVar[tuple[Goal, ...]] = (Goal("not_lost", least=0.95),)

    warm_steps: int = setting(
        600,
        "Supervised steps on a careless player's moves, enough to see two in a row; a sixth of "
        "them teach to play on free squares only.",
        least=1,
    )
    warm_batch: int = setting(64, "Moves in each of those steps.", least=1)
    warm_care: float = setting(
        0.9,
        "How often that player's move is one of the best; the less, the longer the nano model "
        "takes to see why.",
        least=0,
        most=1,
    )
    steps: int = setting(20, "Batches of games, enough to play surely what is best.", least=1)
    learning_rate: float = setting(
        5e-4,
        "The peak rate, low enough not to forget what the warm start has taught; the default suits "
        "the nano model, others want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    groups_per_batch: int = setting(
        32, "Opponents in a step, half of whom begin; with self, games that are compared.", least=1
    )
    max_tokens: int = setting(4, "Longest move; a square is one token of nano.", least=1)
    opponent: Literal["random", "perfect", "self"] = setting(
        "random",
        "Who is played against while training; the tests are against random play whatever it is.",
    )
    as_lines: bool = setting(
        True,
        "Shows the board as its eight lines, which spares the nano model finding them; without "
        "it the board is shown as a square.",
    )
    test_games: int = setting(
        200, "Games against random play before and after training, to measure with.", least=2
    )

    def estimate(self) -> Estimate:
        """A move is about 50 tokens of the nano model, and a game three or four of them."""
        games = self.steps * self.groups_per_batch * self.group_size
        moves = games * MOVES_A_GAME * (1 + (self.opponent == "self"))
        learnt = self.warm_steps * self.warm_batch
        return Estimate(self.steps + self.warm_steps, int((moves + learnt) * TOKENS_A_MOVE))

    async def train(self, run: Run) -> dict[str, Figure]:
        """Warm start, then RL; how often moves do not lose, before and after."""
        started = await warm_start(run, self._careless(run.seed("games")), self)
        tests = [
            Against(at_random(run.seed("test", game)), begins=game % 2 == 0, as_lines=self.as_lines)
            for game in range(self.test_games)
        ]

        async def played(stage: Run, temperature: float = 0.0) -> list[Episode]:
            return await play_all(stage, stage.sampler(), tests, temperature=temperature)

        async def not_lost(stage: Run) -> list[list[bool]]:
            """Of each game, moving by the likeliest token, and by one that is drawn."""
            return [
                [bool(one.outcome.parts["not_lost"]) for one in await played(stage, temperature)]
                for temperature in (0.0, 1.0)
            ]

        async def train_games(stage: Run) -> dict[str, Figure]:
            before, sampled_before = await stage.once("before", lambda: not_lost(stage))

            async def evaluate() -> dict[str, float]:
                return of_episodes(await played(stage))

            def games(step: int) -> Sequence[Environment]:
                return self._games(stage.seed("opponents", step))

            await train_rl(stage, games, self, evaluate=evaluate if self.eval_every else None)
            after, sampled = await not_lost(stage)
            return {
                "before": share(before),
                "not_lost": share(after),
                "sampled_before": share(sampled_before),
                "sampled": share(sampled),
            }

        return (await run.in_stage("rl", train_games, from_state=started)).figures

    def _careless(self, seed: int) -> list[Chat]:
        """What games of a careless player against random play teach."""
        random = Random(seed)
        return [
            lesson
            for game in range(GAMES)
            for lesson in careless_lessons(
                self.warm_care,
                at_random(seed_of(seed, game)),
                random,
                begins=game % 2 == 0,
                as_lines=self.as_lines,
            )
        ]

    def _games(self, seed: int) -> list[Environment]:
        """The games of a step; the policy begins every other one."""
        if self.opponent == "self":
            return [AgainstItself(self.as_lines)] * self.groups_per_batch
        player = at_random if self.opponent == "random" else perfect
        return [
            Against(player(seed_of(seed, game)), begins=game % 2 == 0, as_lines=self.as_lines)
            for game in range(self.groups_per_batch)
        ]


if __name__ == "__main__":
    main(TicTacToe)
