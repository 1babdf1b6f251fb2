"""Supervised fine-tuning on the library in few lines: ``python -m tinsmith_recipes.sl_basic``."""

from __future__ import annotations

from typing import ClassVar

import chz

from tinsmith.data import Messages, load_chats
from tinsmith_recipes.pig_latin.data import split_words
from tinsmith_recipes.training import Estimate, Figure, Run, exact, setting
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.supervised import (
    SupervisedSettings,
    Weighed,
    held_out_nll,
    train_supervised,
)

HELD_OUT = 64


@chz.chz
class SLBasic(SupervisedSettings):
    """Chats in, a model that answers like them out."""

    name: ClassVar[str] = "sl_basic"
    summary: ClassVar[str] = "The least that fine-tuning takes: chats of a file, or Pig Latin."
    steps: int = setting(30, "Optimizer steps; thirty show it.", least=1)
    chats: str | None = setting(None, "A jsonl or parquet file, or a hub name; else Pig Latin.")

    def load(self) -> list[Messages]:
        """The chats; those of a file are more than are held out."""
        return load_chats(self.chats) if self.chats else [one.chat for one in split_words(1)[0]]

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train; nats a token of chats that are not trained on, before and after."""
        ready = [Weighed.of(run.renderer.example(chat), self.reduction) for chat in self.load()]
        learn, test = ready[HELD_OUT:], ready[:HELD_OUT]
        before = await run.once("before", lambda: held_out_nll(run, test))
        await train_supervised(run, learn, self)
        return {"before": exact(before), "after": exact(await held_out_nll(run, test))}

    def estimate(self) -> Estimate:
        """A short chat has about 40 tokens."""
        return Estimate(self.steps, self.steps * self.batch_size * 40)


if __name__ == "__main__":
    main(SLBasic)
