"""Pig Latin: batches of questions with their answers, one optimizer step each."""

from __future__ import annotations

from typing import ClassVar

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.pig_latin.data import HELD_OUT, Word, split_words
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, setting, share
from tinsmith_recipes.training.asking import answers, said
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.supervised import SupervisedSettings, Weighed, train_supervised

LONGEST_ANSWER = 24
TOKENS_A_WORD = 40


@chz.chz
class PigLatin(SupervisedSettings):
    """Supervised fine-tuning on plain words and their Pig Latin."""

    name: ClassVar[str] = "pig_latin"
    summary: ClassVar[str] = "Teaches Pig Latin from a thousand words: the demo, in a minute."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", most=0.1),
        Goal("exact_match", least=0.9),
    )

    warmup: int = setting(10, "Steps in which the rate rises to its peak.", least=0)
    held_out: int = setting(
        HELD_OUT, "Words that are never trained on, to test with.", least=1, most=1000
    )

    def estimate(self) -> Estimate:
        """A word with its question is about 40 tokens of the nano model."""
        return Estimate(self.steps, self.steps * self.batch_size * TOKENS_A_WORD)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train on the words to learn from; exact match on the others, before and after."""
        learn, held_out = split_words(self.held_out, self.seed)
        examples = [Weighed.of(run.renderer.example(word.chat), self.reduction) for word in learn]

        async def before() -> list[str]:
            return await say(run, run.base, held_out)

        was = await run.once("before", before)

        async def evaluate() -> dict[str, float]:
            heard = await say(run, run.sampler(), held_out)
            return {"test/exact_match": _hits(held_out, heard).value}

        await train_supervised(run, examples, self, evaluate=evaluate if self.eval_every else None)

        async def after() -> list[str]:
            return await say(run, run.sampler(), held_out)

        now = await run.once("after", after)
        _write_down(run, 0, held_out, was)
        _write_down(run, self.steps, held_out, now)
        run.transcript(
            self.steps,
            [
                {
                    "messages": [*word.question, {"role": "assistant", "content": heard}],
                    "reward": float(heard == word.answer),
                    "note": f"before: {earlier}",
                }
                for word, earlier, heard in zip(held_out, was, now, strict=True)
            ],
        )
        return {"before": _hits(held_out, was), "exact_match": _hits(held_out, now)}


async def say(run: Run, sampler: SamplingClient, words: list[Word]) -> list[str]:
    """What a model says to each word's question."""
    chats = [word.question for word in words]
    heard = await answers(sampler, run.renderer, chats, max_tokens=LONGEST_ANSWER)
    return [said(one) for one in heard]


def _write_down(run: Run, step: int, words: list[Word], heard: list[str]) -> None:
    """Keep what was said with the run on the server, a group a word, right ones with reward 1."""
    rollouts = [
        {
            "group": number,
            "prompt": "\n".join(message["content"] for message in word.question),
            "completion": said_now,
            "reward": float(said_now == word.answer),
            "data": {"answer": word.answer},
        }
        for number, (word, said_now) in enumerate(zip(words, heard, strict=True))
    ]
    run.training.log_rollouts(rollouts, step)


def _hits(words: list[Word], heard: list[str]) -> Figure:
    return share([word.answer == one for word, one in zip(words, heard, strict=True)])


if __name__ == "__main__":
    main(PigLatin)
