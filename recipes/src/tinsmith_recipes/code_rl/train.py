"""Programs: a problem is tried several times, and what passed its tests is made likelier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.code_rl import data
from tinsmith_recipes.code_rl.env import CodeEnv, ExpressionEnv
from tinsmith_recipes.code_rl.judge import Judge
from tinsmith_recipes.code_rl.sandbox import Limits, Sandbox
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, batch, setting, share
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.rl import (
    Episode,
    RLSettings,
    of_episodes,
    play_all,
    told,
    train_rl,
)
from tinsmith_recipes.training.supervised import Supervision, Weighed, train_supervised

SHOW_BATCH, SHOW_RATE = 32, 5e-3
TOKENS = {"generated": 70, "mbpp": 400, "deepcoder": 4000}
SOURCES = {
    "mbpp": ("google-research-datasets/mbpp:sanitized", "google-research-datasets/mbpp:sanitized"),
    "deepcoder": (
        "agentica-org/DeepCoder-Preview-Dataset:primeintellect",
        "agentica-org/DeepCoder-Preview-Dataset:lcbv5",
    ),
}


@chz.chz
class CodeRL(RLSettings):
    """Reinforcement learning on programs that are run and tested in a sandbox."""

    name: ClassVar[str] = "code_rl"
    summary: ClassVar[str] = "Learns to write programs from tests, run in a sandbox (Linux)."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", most=0.05),
        Goal("passed_sampled", least=0.4),
    )

    steps: int = setting(40, "Batches that are sampled, tested and trained on.", least=1)
    groups_per_batch: int = setting(16, "Problems a step.", least=1)
    problems: Literal["generated", "mbpp", "deepcoder"] = setting(
        "generated", "What to learn; the others than generated come from the hub or a file."
    )
    loss_fn: Literal["importance_sampling", "ppo", "cispo", "gspo", "dro", "stable_reinforce"] = (
        setting("ppo", "The server's loss; this one bears several steps on the same samples.")
    )
    substeps: int = setting(
        2, "Optimizer steps that a batch is split into; two learn faster than one.", least=1
    )
    warmup: int = setting(
        5, "Steps in which the rate rises; Adam's first ones would undo what was shown.", least=0
    )
    show_steps: int = setting(
        60,
        "Supervised steps on solved tasks before the rewards begin, for a model that never saw "
        "code; only generated problems have solutions to show.",
        least=0,
    )
    demonstrated: int = setting(
        100,
        "Tasks of two steps among those that are shown; the others are learnt from tests.",
        least=0,
    )
    held_out: int = setting(100, "Problems that are never trained on, to test with.", least=1)
    source: str | None = setting(
        None, "Another file or hub name for the problems to learn from, in the same columns."
    )
    test_source: str | None = setting(
        None, "Another file or hub name for the problems to test with."
    )
    most_tests: int = setting(
        8, "Tests of a problem that are run; each typed one is a start of the interpreter.", least=1
    )
    cpu_seconds: int = setting(2, "Processor time that a program may take.", least=1, most=600)
    memory_mib: int = setting(256, "Memory that a program may take.", least=64, most=65536)
    programs_at_once: int = setting(
        0, "Programs that run at the same time; 0 is one a processor.", least=0, most=1024
    )

    def estimate(self) -> Estimate:
        """A generated task with its answer is about 60 tokens."""
        found = self.estimated(TOKENS[self.problems])
        shown = self.show_steps if self.problems == "generated" else 0
        tokens = found.tokens + shown * SHOW_BATCH * TOKENS[self.problems]
        return Estimate(found.steps + shown, tokens)

    @property
    def limits(self) -> Limits:
        """What a program may use."""
        return Limits(cpu_seconds=self.cpu_seconds, memory_bytes=self.memory_mib << 20)

    def load(self) -> data.Problems:
        """Solved tasks to show, problems to learn from, and problems to test with."""
        if self.problems == "generated":
            return data.generated(self.held_out, self.demonstrated, self.seed)
        learn_from, test_with = SOURCES[self.problems]
        return data.public(
            data.mbpp if self.problems == "mbpp" else data.deepcoder,
            (self.source, None) if self.source else (learn_from, "train"),
            (self.test_source, None) if self.test_source else (test_with, "test"),
            held_out=self.held_out,
            most_tests=self.most_tests,
        )

    async def train(self, run: Run) -> dict[str, Figure]:
        """Show some solutions, then train on tests; held-out problems solved, before and after."""
        problems = self.load()
        for note in problems.notes:
            run.say(note)
        async with Sandbox(self.programs_at_once or None) as sandbox:
            course = _Course(self, problems, Judge(sandbox, self.limits))

            async def before() -> list[bool]:
                return await course.solved(run, run.base)

            figures = {"before": share(await run.once("before", before))}
            shown = None
            if problems.shown and self.show_steps:
                shown = await run.in_stage("show", course.show)
                figures["shown"] = shown.figures["passed"]
                figures["shown_sampled"] = shown.figures["passed_sampled"]
            start = shown.state_path if shown else None
            practised = await run.in_stage("practise", course.practise, from_state=start)
            return {**figures, **practised.figures}


class _Course:
    """The stages: solutions are shown, then programs are tried."""

    def __init__(self, recipe: CodeRL, problems: data.Problems, judge: Judge) -> None:
        self.recipe, self.problems = recipe, problems
        kind = ExpressionEnv if recipe.problems == "generated" else CodeEnv
        self.learn = [kind(problem, judge) for problem in problems.learn]
        self.held_out = [kind(problem, judge) for problem in problems.test]

    async def show(self, stage: Run) -> dict[str, Figure]:
        """Supervised training on solved tasks."""
        examples = [
            Weighed.of(stage.renderer.example(task.chat), "mean") for task in self.problems.shown
        ]
        settings = Supervision(
            steps=self.recipe.show_steps, batch_size=SHOW_BATCH, learning_rate=SHOW_RATE
        )
        await train_supervised(stage, examples, settings)
        sampler = stage.sampler()
        return {
            "passed": share(await self.solved(stage, sampler)),
            "passed_sampled": share(await self.solved(stage, sampler, 1.0)),
        }

    async def practise(self, stage: Run) -> dict[str, Figure]:
        """Training on what the tests say."""

        def environments(step: int) -> Sequence[CodeEnv]:
            return batch(self.learn, self.recipe.groups_per_batch, step, stage.seed("problems"))

        async def evaluate() -> dict[str, float]:
            return of_episodes(await self.played(stage, stage.sampler()))

        asked = evaluate if self.recipe.eval_every else None
        await train_rl(stage, environments, self.recipe, evaluate=asked)
        final = stage.sampler()
        played = await self.played(stage, final)
        page = [told(episode, stage.tokenizer.decode) for episode in played]
        stage.transcript(self.recipe.steps, page, "test")
        return {
            "passed": share(_passed(played)),
            "passed_sampled": share(await self.solved(stage, final, 1.0)),
        }

    async def played(self, run: Run, sampler: SamplingClient) -> list[Episode]:
        """The held-out problems, as the model is surest."""
        return await play_all(run, sampler, self.held_out, temperature=0.0)

    async def solved(
        self, run: Run, sampler: SamplingClient, temperature: float = 0.0
    ) -> list[bool]:
        """Which held-out problems a model solves: all tests pass."""
        return _passed(await play_all(run, sampler, self.held_out, temperature=temperature))


def _passed(episodes: Sequence[Episode]) -> list[bool]:
    return [episode.outcome.parts.get("correct", 0.0) > 0 for episode in episodes]


if __name__ == "__main__":
    main(CodeRL)
