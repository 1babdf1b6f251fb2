"""Tool use: learns to look up what it cannot know."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import ClassVar

import chz

from tinsmith_recipes.tool_use.data import Corpus, Place, careless_chat, places, split
from tinsmith_recipes.tool_use.env import Ask
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, batch, setting, share
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.rl import RLSettings, play_all, train_rl
from tinsmith_recipes.training.warm_start import WarmStart, warm_start

CHATS = 2000
TOKENS_A_CHAT = 250


@chz.chz
class ToolUse(WarmStart, RLSettings):
    """Reinforcement learning with a tool."""

    name: ClassVar[str] = "tool_use"
    summary: ClassVar[str] = "Learns to search a corpus for what it cannot know."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("without_tool", most=0.2),
        Goal("accuracy", least=0.8),
    )

    steps: int = setting(24, "Batches of questions, enough to settle on searching.", least=1)
    groups_per_batch: int = setting(8, "Questions a step; few are enough for one habit.", least=1)
    max_tokens: int = setting(100, "Longest message; a call is about 80 tokens of nano.", least=1)
    held_out: int = setting(
        40, "Places that no question is trained on, out of 120.", least=1, most=100
    )
    declares: bool = setting(
        False, "Says in the prompt what tools there are; a model that learns it here needs no word."
    )

    def estimate(self) -> Estimate:
        """A chat with a search is about 250 tokens of the nano model."""
        chats = self.steps * self.groups_per_batch * self.group_size
        started = self.warm_steps * self.warm_batch
        return Estimate(self.steps + self.warm_steps, (chats + started) * TOKENS_A_CHAT)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Warm start, then RL; right answers to held-out questions, with and without the tool."""
        corpus = Corpus([place.document for place in places()])
        learn, held_out = split(self.held_out, self.seed)
        random = Random(run.seed("chats"))
        chats = [
            careless_chat(random.choice(learn), corpus, self.warm_care, random)
            for _ in range(CHATS)
        ]
        started = await warm_start(run, chats, self)

        async def right(stage: Run, with_tool: bool) -> list[bool]:
            found = corpus if with_tool else None
            asked = [Ask(place, found, self.declares) for place in held_out]
            episodes = await play_all(stage, stage.sampler(), asked)
            return [episode.outcome.parts["correct"] > 0 for episode in episodes]

        async def train_with_tool(stage: Run) -> dict[str, Figure]:
            before = await stage.once("before", lambda: right(stage, with_tool=True))

            def questions(step: int) -> Sequence[Ask]:
                chosen: list[Place] = batch(
                    learn, self.groups_per_batch, step, stage.seed("places")
                )
                return [Ask(place, corpus, self.declares) for place in chosen]

            await train_rl(stage, questions, self)
            return {
                "before": share(before),
                "without_tool": share(await right(stage, with_tool=False)),
                "accuracy": share(await right(stage, with_tool=True)),
            }

        return (await run.in_stage("rl", train_with_tool, from_state=started)).figures


if __name__ == "__main__":
    main(ToolUse)
