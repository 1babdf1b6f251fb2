"""On-policy distillation: the student answers, and learns where the teacher would have differed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.distillation.exercises import TEACHER_BATCH, TOKENS_EACH, exercises, taught
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, batch, mean, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.distillation import (
    Ask,
    ChatData,
    Guidance,
    asked_of,
    gap_closed,
    open_teacher,
    right,
    said_before,
    said_now,
    show,
)
from tinsmith_recipes.training.loop import Evaluate
from tinsmith_recipes.training.rl import RLSettings, play_all, train_rl


@chz.chz
class OnPolicy(RLSettings, ChatData):
    """A student's own answers, judged token by token by a teacher."""

    name: ClassVar[str] = "distillation.on_policy"
    summary: ClassVar[str] = "A student answers, and a teacher says how likely each token was."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("gap", least=0.3),
        Goal("gap_closed", least=0.8),
    )

    steps: int = setting(
        100, "Batches that are sampled, judged and trained on, one a step.", least=1
    )
    groups_per_batch: int = setting(
        48, "Questions a step; more of them make a steadier gradient.", least=1
    )
    group_size: int = setting(
        2, "Answers to each question; different questions teach more.", least=2, most=1024
    )
    learning_rate: float = setting(
        5e-3,
        "The peak rate; the default suits the nano model, others want about 1e-4.",
        least=0,
        most=1,
    )
    warmup: int = setting(5, "Steps in which the rate rises to its peak.", least=0)
    max_tokens: int = setting(
        12, "Longest answer of the student; every token of it is judged.", least=1
    )
    teacher: str | None = setting(
        None,
        "A base model, or the tinker:// address of a sampler checkpoint, with the student's "
        "tokenizer; by default one that a first stage trains on exercises. With several, parted "
        "by commas, each judges the questions of its own part of data.",
    )
    start_from: str | None = setting(
        None,
        "The tinker:// address of a state that the student begins as, e.g. of off-policy "
        "distillation: what it never says is never judged; by default the base model.",
    )
    coefficient: float = setting(
        1.0, "What a nat of difference from the teacher is worth; 1 is its KL divergence.", least=0
    )
    centred: bool = setting(
        True,
        "Whether a batch's mean difference is subtracted: the same gradient in expectation, and a "
        "steadier one.",
    )
    teacher_steps: int = setting(100, "Steps of the first stage that trains the teacher.", least=1)
    asked: int = setting(
        3000, "Exercises that the student is asked; nobody sees their right answers.", least=1
    )

    @chz.validate
    def _check(self) -> None:
        if self.data is not None and self.teacher is None:
            raise ValueError("data has no teacher of its own: name one by teacher=")
        teachers, sources = len(self._names), len((self.data or "").split(","))
        if teachers > 1 and teachers != sources:
            raise ValueError(
                f"{teachers} teachers judge the questions of as many sources, and data names "
                f"{sources if self.data else 'none'}; part both by commas"
            )

    @property
    def _names(self) -> list[str]:
        return [name.strip() for name in (self.teacher or "").split(",") if name.strip()]

    def estimate(self) -> Estimate:
        """An exercise with its answer is some 28 tokens, read by student, teacher and trainer."""
        episodes = self.steps * self.groups_per_batch * self.group_size
        steps = self.teacher_steps * (self.teacher is None)
        tokens = 3 * episodes * TOKENS_EACH + steps * TEACHER_BATCH * TOKENS_EACH
        return Estimate(self.steps + steps, tokens)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train the student; figures of it, of the teacher, and of what it was before."""
        run.begin_from(self.start_from)
        begun = await self._begun(run)
        if self.data is not None:
            return await self._on_data(run, begun)
        return await self._on_exercises(run, begun)

    async def _begun(self, run: Run) -> SamplingClient:
        """What the student begins as; kept, since a run that goes on has moved."""
        if self.start_from is None:
            return run.base

        async def keep() -> str:
            return (await run.training.save_weights_for_sampler("begun")).path

        return run.service.create_sampling_client(await run.once("begun", keep))

    async def _on_exercises(self, run: Run, begun: SamplingClient) -> dict[str, Figure]:
        theirs, asked, test = exercises(
            self.seed, self.teacher_steps * TEACHER_BATCH, self.asked, self.held_out
        )
        teacher = await (
            open_teacher(run, self._names[0])
            if self._names
            else taught(run, theirs, self.teacher_steps)
        )
        guidance = Guidance(run, self.coefficient, is_centred=self.centred)
        held = [guidance.ask(one.question, teacher) for one in test]
        was, wanted = await said_before(run, begun, teacher, test, self.max_tokens)

        async def evaluate() -> dict[str, float]:
            return {"test/right": right(test, await said_now(run, test, self.max_tokens)).value}

        questions = [guidance.ask(one.question, teacher) for one in asked]
        far = await self._guided(run, begun, guidance, questions, held, evaluate)
        now = await said_now(run, test, self.max_tokens)
        show(run, self.steps, test, was, wanted, now)
        return gap_closed(right(test, was), right(test, wanted), right(test, now)) | far

    async def _on_data(self, run: Run, begun: SamplingClient) -> dict[str, Figure]:
        """On questions of one's own, each judged by the teacher of its source."""
        guidance = Guidance(run, self.coefficient, is_centred=self.centred)
        questions: list[Ask] = []
        held: list[Ask] = []
        names = self._names
        for number, source in enumerate((self.data or "").split(",")):
            teacher = await open_teacher(run, names[min(number, len(names) - 1)])
            rows, test = asked_of(self, source.strip())
            tags = (source.strip(),) if len(names) > 1 else ()
            questions += [guidance.ask(one.question, teacher, tags) for one in rows]
            held += [guidance.ask(one.question, teacher, tags) for one in test]
        return await self._guided(run, begun, guidance, questions, held, None)

    async def _guided(
        self,
        run: Run,
        begun: SamplingClient,
        guidance: Guidance,
        questions: Sequence[Ask],
        held: Sequence[Ask],
        more: Evaluate | None,
    ) -> dict[str, Figure]:
        """Train on the questions; how far the student is from its teacher on held-out ones."""

        def environments(step: int) -> Sequence[Ask]:
            return batch(questions, self.groups_per_batch, step, run.seed("questions"))

        async def far(sampler: SamplingClient) -> list[float]:
            return await guidance.distances(await play_all(run, sampler, held))

        async def evaluate() -> dict[str, float]:
            found = await more() if more is not None else {}
            return found | {"test/teacher_kl": mean(await far(run.sampler())).value}

        async def before() -> list[float]:
            return await far(begun)

        was = await run.once("before_kl", before)
        await train_rl(
            run,
            environments,
            self,
            evaluate=evaluate if self.eval_every else None,
            adjust=guidance.adjust,
        )
        return {
            "before_teacher_kl": mean(was),
            "teacher_kl": mean(await far(run.sampler())),
        }


if __name__ == "__main__":
    main(OnPolicy)
