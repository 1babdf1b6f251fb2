"""Several turns as a user of verifiers writes them: an environment that answers the agent.

A second agent, which does not learn, is asked for a word before it begins.
"""

from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf

__all__ = ["GuessEnv", "GuessTaskset"]


class GuessData(vf.TaskData):
    number: int = 0


class GuessTask(vf.Task[GuessData]):
    @vf.reward
    async def found(self, task: GuessData, trace: vf.Trace) -> float:
        return float(trace.last_reply == str(task.number))


class GuessTaskset(vf.Taskset[GuessTask, vf.TasksetConfig]):
    def load(self) -> Iterator[GuessTask]:
        for number in range(1, 21):
            data = GuessData(prompt="Guess my number from 1 to 20.", number=number)
            yield GuessTask(data, self.config.task)


class GuessConfig(vf.EnvConfig):
    agent: vf.AgentConfig = vf.AgentConfig(max_turns=6)
    starter: vf.AgentConfig = vf.AgentConfig()


class GuessEnv(vf.Env[GuessConfig]):
    async def setup(self, agents: Any) -> None:
        agents.starter.trainable = False

    async def run(self, task: GuessTask, agents: Any) -> None:
        await agents.starter.run(vf.Task(vf.TaskData(prompt="Say that it begins.")))
        async with agents.agent.interaction(task) as player:
            said = await player.turn()
            while not said.terminated and said.last_reply != str(task.data.number):
                is_less = said.last_reply.isdecimal() and int(said.last_reply) > task.data.number
                said = await player.turn("lower" if is_less else "higher")
