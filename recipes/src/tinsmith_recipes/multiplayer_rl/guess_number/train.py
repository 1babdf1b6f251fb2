"""Guess the number: learns to keep to what is left, and to halve it."""

from __future__ import annotations

from random import Random
from typing import ClassVar

import chz

from tinsmith_recipes.multiplayer_rl.fewer import learn_to_need_fewer
from tinsmith_recipes.multiplayer_rl.guess_number.data import careless_game
from tinsmith_recipes.multiplayer_rl.guess_number.env import Thinks
from tinsmith_recipes.multiplayer_rl.moves import lessons
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.rl import RLSettings
from tinsmith_recipes.training.warm_start import Chat, WarmStart, warm_start

GAMES = 500
TOKENS_A_TURN = 35
TURNS_A_GAME = 5


@chz.chz
class GuessNumber(WarmStart, RLSettings):
    """Reinforcement learning on a game of several turns."""

    name: ClassVar[str] = "multiplayer_rl.guess_number"
    summary: ClassVar[str] = "Learns to find a number in few guesses, hearing higher or lower."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", least=5.5),
        Goal("turns", most=5.0),  # 1.25 log2 16
    )

    warm_steps: int = setting(
        45,
        "Supervised steps on a careless player's guesses, half of which are any number.",
        least=1,
    )
    warm_batch: int = setting(64, "Guesses in each of those steps.", least=1)
    steps: int = setting(20, "Batches of games, enough to settle on what is left.", least=1)
    learning_rate: float = setting(
        2e-3,
        "The peak rate; the default suits the nano model, others want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    groups_per_batch: int = setting(8, "Numbers that are thought of in a step.", least=1)
    max_tokens: int = setting(8, "Longest guess; a number is two or three tokens of nano.", least=1)
    numbers: int = setting(16, "What is thought of is from 1 to this.", least=2, most=1000)
    limit: int = setting(
        10, "Turns after which a game is lost; halving needs 5 for 16 numbers.", least=1
    )
    remembers: bool = setting(
        False,
        "Shows the whole game; by default only the last answer is shown, and ends with the "
        "numbers that are left, which spares the nano model the memory.",
    )
    test_games: int = setting(
        8, "Games to each number before and after training, to measure with.", least=1
    )

    def estimate(self) -> Estimate:
        """A turn is about 35 tokens of the nano model, and a game some five of them."""
        games = self.steps * self.groups_per_batch * self.group_size
        turns = games * TURNS_A_GAME + self.warm_steps * self.warm_batch
        return Estimate(self.steps + self.warm_steps, turns * TOKENS_A_TURN)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Warm start, then RL; the turns that a game takes, before and after."""
        random = Random(run.seed("games"))
        chats = [chat for _ in range(GAMES) for chat in self._careless(random)]
        return await learn_to_need_fewer(
            run,
            self,
            [
                Thinks(secret, self.numbers, self.limit, self.remembers)
                for secret in range(1, self.numbers + 1)
            ],
            started=await warm_start(run, chats, self),
            counted="turns",
            times=self.test_games,
            order="numbers",
        )

    def _careless(self, random: Random) -> list[Chat]:
        """What a game of a careless guesser teaches."""
        secret = random.randint(1, self.numbers)
        game = careless_game(
            secret, self.numbers, self.limit, self.warm_care, random, remembers=self.remembers
        )
        return lessons(game, remembers=self.remembers)


if __name__ == "__main__":
    main(GuessNumber)
