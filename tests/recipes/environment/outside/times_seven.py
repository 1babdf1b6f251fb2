"""A taskset as a user of verifiers writes one: a question, an answer, a reward."""

from collections.abc import Iterator

import verifiers.v1 as vf

__all__ = ["TimesTaskset"]


class TimesData(vf.TaskData):
    answer: str = ""


class TimesTask(vf.Task[TimesData]):
    @vf.reward(weight=2.0)
    async def right(self, task: TimesData, trace: vf.Trace) -> float:
        return float(trace.last_reply == task.answer)

    @vf.metric
    async def length(self, trace: vf.Trace) -> float:
        return float(len(trace.last_reply))


class TimesConfig(vf.TasksetConfig):
    largest: int = 20


class TimesTaskset(vf.Taskset[TimesTask, TimesConfig]):
    def load(self) -> Iterator[TimesTask]:
        for number in range(self.config.largest):
            data = TimesData(
                prompt=f"What is 7 times {number}?",
                system_prompt="Say the number.",
                answer=str(7 * number),
            )
            yield TimesTask(data, self.config.task)
