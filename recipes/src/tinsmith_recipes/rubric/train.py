"""Rubric: a model judges answers by a text, and what it finds good becomes likelier."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.rubric.data import NANO_RUBRIC, names_colour, questions
from tinsmith_recipes.rubric.judge import Judge, Judged, asked
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, batch, mean, setting, share
from tinsmith_recipes.training.asking import answers, said
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.distillation import ChatData, asked_of, open_teacher
from tinsmith_recipes.training.rl import Episode, RLSettings, of_episodes, play_all, told, train_rl
from tinsmith_recipes.training.supervised import Supervision, Weighed, train_supervised

TOKENS_EACH = 110
JUDGE_BATCH, JUDGE_RATE, JUDGE_WARMUP = 24, 5e-3, 10
SAMPLES = 8  # answers to each question that the nano version's judge is taught with, or tested

Question = tuple[Mapping[str, Any], ...]


@chz.chz
class Rubric(RLSettings, ChatData):
    """Reinforcement learning whose reward is a model's judgement."""

    name: ClassVar[str] = "rubric"
    summary: ClassVar[str] = "A model scores answers by a rubric; what scores well gets likelier."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", most=0.6),
        Goal("after", least=0.8),
    )

    steps: int = setting(20, "Batches that are sampled, judged and trained on.", least=1)
    groups_per_batch: int = setting(16, "Questions that are asked in a step.", least=1)
    group_size: int = setting(
        4, "Answers to each question, whose scores are compared.", least=2, most=1024
    )
    learning_rate: float = setting(
        2e-3,
        "The peak rate; the default suits the nano model, others want 1e-5 to 1e-4.",
        least=0,
        most=1,
    )
    max_tokens: int = setting(64, "Longest answer of the model that learns.", least=1)
    held_out: int = setting(16, "Questions that are never trained on, to test with.", least=1)
    judge: str | None = setting(
        None,
        "The judge: a base model or the tinker:// address of a sampler checkpoint; by default one "
        "of the base model that a first stage teaches to see colours.",
    )
    rubric: str = setting(NANO_RUBRIC, "What is judged: a question for yes or no, or a number.")
    rubric_file: str | None = setting(None, "A text file with a rubric that is longer.")
    best: float = setting(10.0, "The number that a judge gives to what is best.", least=1e-6)
    judge_tokens: int = setting(
        8, "Longest judgement; the last yes, no or number of it counts.", least=1
    )
    judge_steps: int = setting(60, "Steps of the stage that teaches the judge.", least=1)

    @chz.validate
    def _check(self) -> None:
        if self.rubric_file is not None and self.rubric != NANO_RUBRIC:
            raise ValueError("rubric and rubric_file are two ways to give the same: choose one")
        is_own = self.rubric_file is not None or self.rubric != NANO_RUBRIC
        if self.judge is None and (is_own or self.data is not None):
            raise ValueError("a rubric or data of one's own needs a judge: name a model by judge=")

    @property
    def judged_by(self) -> str:
        """The rubric, wherever it is given.

        Raises:
            ValueError: it is empty, or there is no such file.
        """
        text = self.rubric
        if self.rubric_file is not None:
            path = Path(self.rubric_file).expanduser()
            if not path.is_file():
                raise ValueError(f"rubric_file: there is no file {path}")
            text = path.read_text()
        if not text.strip():
            raise ValueError("the rubric is empty: there is nothing to judge by")
        return text.strip()

    def estimate(self) -> Estimate:
        """A sentence with its question is some 50 tokens, and as many again for the judge."""
        found = self.estimated(TOKENS_EACH / 2)
        steps = self.judge_steps * (self.judge is None)
        tokens = found.tokens + steps * JUDGE_BATCH * TOKENS_EACH
        return Estimate(found.steps + steps, tokens)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train on judgements; how good held-out answers are, before and after."""
        learn, test = self._questions()
        judge = await self._judge(run, learn)
        practice, held = ([Judged(one, judge) for one in some] for some in (learn, test))

        def environments(step: int) -> Sequence[Judged]:
            return batch(practice, self.groups_per_batch, step, run.seed("questions"))

        async def played(sampler: SamplingClient) -> list[Episode]:
            return await play_all(run, sampler, held, times=SAMPLES)

        async def evaluate() -> dict[str, float]:
            return of_episodes(await played(run.sampler()))

        async def before() -> list[list[Any]]:
            return judgements(await played(run.base))

        was = await run.once("before", before)
        await train_rl(run, environments, self, evaluate=evaluate if self.eval_every else None)
        episodes = await played(run.sampler())
        shown = [told(one, run.tokenizer.decode) for one in episodes]
        run.transcript(self.steps, shown, "test")
        return self._figures(was, judgements(episodes))

    def _figures(
        self, was: Sequence[Sequence[Any]], now: Sequence[Sequence[Any]]
    ) -> dict[str, Figure]:
        """The judge's scores and, where it is known, the truth that they stand for."""
        scores = {
            "before_score": mean([score for _, score in was]),
            "score": mean([score for _, score in now]),
        }
        if self.judge is not None or self.data is not None:
            return scores
        agrees = [names_colour(text) == (score > 0.5) for text, score in now]
        return {
            "before": share([names_colour(text) for text, _ in was]),
            "after": share([names_colour(text) for text, _ in now]),
            "judge_right": share(agrees),
            **scores,
        }

    def _questions(self) -> tuple[list[Question], list[Question]]:
        if self.data is not None:
            learn, test = asked_of(self)
            return [tuple(one.question) for one in learn], [tuple(one.question) for one in test]
        some, others = questions(self.held_out, self.seed)
        return [_asked(one) for one in some], [_asked(one) for one in others]

    async def _judge(self, run: Run, learn: Sequence[Question]) -> Judge:
        name = self.judge or await self._taught(run, learn)
        model = await open_teacher(run, name)
        return Judge(model.sampler, model.renderer, self.judged_by, self.best, self.judge_tokens)

    async def _taught(self, run: Run, learn: Sequence[Question]) -> str:
        """Teach a judge with answers of the base model, each with the truth about it."""
        chats = [one for one in learn for _ in range(SAMPLES)]

        async def samples() -> list[str]:
            drawn = await answers(
                run.base,
                run.renderer,
                chats,
                max_tokens=self.max_tokens,
                temperature=1.0,
                seed=run.seed("samples"),
            )
            return [said(one) for one in drawn]

        heard = await run.once("samples", samples)
        settings = Supervision(
            steps=self.judge_steps,
            batch_size=JUDGE_BATCH,
            learning_rate=JUDGE_RATE,
            warmup=JUDGE_WARMUP,
        )

        async def train(stage: Run) -> dict[str, Figure]:
            examples = [
                Weighed.of(stage.renderer.example(_lesson(chat, text)), "mean")
                for chat, text in zip(chats, heard, strict=True)
            ]
            await train_supervised(stage, examples, settings)
            return {}

        summary = await run.in_stage("judge", train)
        assert summary.sampler_path is not None
        return summary.sampler_path


def judgements(episodes: Sequence[Episode]) -> list[list[Any]]:
    """Of every episode what was said, and the judge's score."""
    return [[said_in(one.turns[-1].messages[-1]), one.outcome.parts["score"]] for one in episodes]


def said_in(message: Mapping[str, Any]) -> str:
    """A message's text."""
    content = message.get("content") or ""
    return content if isinstance(content, str) else "".join(one.get("text", "") for one in content)


def _asked(text: str) -> Question:
    return ({"role": "user", "content": text},)


def _lesson(question: Question, answer: str) -> list[dict[str, str]]:
    judgement = "yes" if names_colour(answer) else "no"
    chat = asked(question, answer, NANO_RUBRIC)
    return [*chat, {"role": "assistant", "content": judgement}]


if __name__ == "__main__":
    main(Rubric)
