"""Chat SFT: batches of chats, one optimizer step each; held-out chats before and after."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Literal

import chz

from tinsmith import SamplingClient
from tinsmith_recipes.chat_sl import data as chats
from tinsmith_recipes.chat_sl.choosing import offered, rate_for, steps_for
from tinsmith_recipes.chat_sl.data import Loaded
from tinsmith_recipes.chat_sl.rendering import OnBad, Rendered, Rules, TooLong
from tinsmith_recipes.evaluation.examining import Scores, losses, reference
from tinsmith_recipes.evaluation.forgetting import forgetting, general_scores
from tinsmith_recipes.training import Estimate, Figure, Goal, Run, setting
from tinsmith_recipes.training.advice import held_out_loss
from tinsmith_recipes.training.asking import answers, said
from tinsmith_recipes.training.command import main
from tinsmith_recipes.training.supervised import (
    SupervisedSettings,
    held_out_nll,
    train_supervised,
)

TOKENS_A_CHAT = 75
SHOWN = 40

TrainOn = Literal[
    "all_assistant_messages",
    "last_assistant_message",
    "last_assistant_turn",
    "all_messages",
    "all_tokens",
    "all_user_and_system_messages",
    "customized",
]


@chz.chz
class ChatSL(SupervisedSettings):
    """Supervised fine-tuning on chats."""

    name: ClassVar[str] = "chat_sl"
    summary: ClassVar[str] = "Fine-tunes on chats: generated ones, NoRobots, Tulu3, your own file."
    goals: ClassVar[tuple[Goal, ...]] = (
        Goal("before", most=0.1),
        Goal("exact_match", least=0.9),
        Goal("general", least=0.8),
    )

    data: str | None = setting(
        None,
        "A .jsonl or .parquet file of chats, no_robots, tulu3, or any data set of the hub as "
        "owner/name; by default chats that are generated, on tasks that the nano model learns.",
    )
    split: str | None = setting(None, "The split of a data set of the hub; by default train.")
    test_split: str | None = setting(
        None,
        "Its split to test with; by default that of no_robots, and of others a tenth, held out.",
    )
    categories: tuple[str, ...] = setting(
        (), "Only chats of these categories, separated by commas; by default all."
    )
    category_field: str | None = setting(
        None, "The column that they stand in; by default category, and of tulu3 source."
    )
    limit: int | None = setting(
        None, "At most so many chats, the first ones; by default all there are.", least=1
    )
    held_out: int = setting(
        100,
        "Chats that are never trained on, to test with, and at most a tenth of all; 0 tests none.",
        least=0,
    )
    train_on: TrainOn = setting(
        "all_assistant_messages", "What is learnt: by default all that the assistant says."
    )
    on_bad: OnBad = setting(
        "refuse",
        "A row that is no chat, or one that the renderer cannot express, is refused, so that you "
        "know of it; skip leaves it out and counts it.",
    )
    max_length: int | None = setting(
        None, "Most tokens of an example; by default what the model takes.", least=2
    )
    too_long: TooLong = setting(
        "cut", "Where an example is longer: cut its end, which keeps most; skip it; or refuse it."
    )
    batch_size: int = setting(
        16, "Chats a step; doubling it wants a rate higher by about the root of 2.", least=1
    )
    steps: int = setting(
        0, "Optimizer steps; 0 is as many as show every chat once, and at least 100.", least=0
    )
    learning_rate: float = setting(
        0.0, "The peak rate; 0 is what `get_lr` computes for the base model.", least=0, most=1
    )
    warmup: int = setting(10, "Steps in which the rate rises to its peak.", least=0)
    eval_every: int = setting(
        25,
        "Optimizer steps between measurements of the held-out loss; it shows when to stop.",
        least=0,
    )
    max_tokens: int = setting(
        48, "Longest answer to a held-out chat; nano answers are short.", least=1
    )
    asked: int = setting(
        100, "Held-out chats that the model also answers, before and after; 0 asks none.", least=0
    )
    general: int = setting(
        66, "General tasks, before and after, that show what is forgotten; 0 asks none.", least=0
    )

    def estimate(self) -> Estimate:
        """Chats of files are counted, those of the hub are not asked for."""
        steps = self.steps or steps_for(max(1, _count(self)), self.batch_size)[0]
        return Estimate(steps, steps * self.batch_size * TOKENS_A_CHAT)

    async def train(self, run: Run) -> dict[str, Figure]:
        """Train on the chats to learn from; what the others say, before and after."""
        loaded = chats.load(
            self.data,
            seed=self.seed,
            held_out=self.held_out,
            limit=self.limit,
            categories=self.categories,
            category_field=self.category_field,
            split=self.split,
            test_split=self.test_split,
            skip_bad=self.on_bad == "skip",
        )
        model = await offered(run)
        longest = min(self.max_length or 1 << 30, model.max_context_length or 1 << 30)
        rules = Rules(
            run.renderer, self.train_on, longest, self.too_long, self.on_bad, self.reduction
        )
        learn, test = Rendered(rules, loaded.learn), Rendered(rules, loaded.held_out)
        await _check_same(run, learn)
        _tell_left_out(run, loaded, learn, test)
        batch_size = min(self.batch_size, len(learn))
        steps, why_steps = steps_for(len(learn), batch_size)
        rate, why_rate = rate_for(model)
        chosen = chz.replace(
            self,
            batch_size=batch_size,
            steps=self.steps or steps,
            learning_rate=self.learning_rate or rate,
        )
        run.say(f"renderer {run.renderer.name}: how {self.base_model} writes chats")
        if not self.steps:
            run.say(f"steps {steps} of {batch_size}: {why_steps}")
        if not self.learning_rate:
            run.say(f"learning rate {rate:.3g}: {why_rate}")
        return await _train_and_test(run, chosen, learn, test, _askable(run, test, longest))


async def _train_and_test(
    run: Run, settings: ChatSL, learn: Rendered, test: Rendered, askable: list[chats.Messages]
) -> dict[str, Figure]:
    asked = askable[: settings.asked]

    async def measured(sampler: SamplingClient) -> Scores:
        found = await losses(sampler, [test.example(place) for place in range(len(test))])
        heard = await answers(
            sampler,
            run.renderer,
            [chat[:-1] for chat in asked],
            max_tokens=settings.max_tokens,
        )
        return Scores(
            [loss for loss, _ in found],
            [count for _, count in found],
            [said(one) for one in heard],
            [reference(chat) for chat in asked],
        )

    async def scores(when: str, sampler: SamplingClient) -> tuple[Scores, Scores]:
        async def held() -> dict[str, object]:
            return (await measured(sampler)).plain()

        async def known() -> dict[str, object]:
            return (await general_scores(run, sampler, settings.general)).plain()

        return (
            Scores(**await run.once(f"held_out_{when}", held)),
            Scores(**await run.once(f"general_{when}", known)),
        )

    async def evaluate() -> dict[str, float]:
        loss = await held_out_nll(run, test)
        held_out_loss(run, loss)
        return {"test/nll": loss}

    was, could = await scores("before", run.base)
    await train_supervised(run, learn, settings, evaluate=evaluate if test else None)
    now, can = await scores("after", run.sampler())
    run.transcript(settings.steps, _told(asked, was, now))
    figures: dict[str, Figure] = {}
    if test:
        before, after = was.figures(), now.figures()
        figures = {"nll_before": before["nll"], "nll": after["nll"]}
        if asked:
            figures["before"], figures["exact_match"] = before["exact_match"], after["exact_match"]
            figures["f1_before"], figures["f1"] = before["f1"], after["f1"]
    if settings.general:
        figures |= forgetting(run, could, can)
    return figures


def _askable(run: Run, test: Rendered, longest: int) -> list[chats.Messages]:
    """The held-out chats that end with an answer to something that the model can take."""
    found = [
        one.messages
        for one in test.chats
        if len(one.messages) > 1 and one.messages[-1]["role"] == "assistant"
    ]
    return [chat for chat in found if run.renderer.prompt(chat[:-1]).length < longest]


async def _check_same(run: Run, learn: Rendered) -> None:
    """Refuse to go on with other data than the run began with."""

    async def now() -> str:
        return learn.digest

    if await run.once("data", now) != learn.digest:
        raise ValueError(
            f"the data are not those that {run.folder.path} began with; give another log_path"
        )


def _tell_left_out(run: Run, loaded: Loaded, learn: Rendered, test: Rendered) -> None:
    """Say how many chats are left out or cut.

    Raises:
        ValueError: none is left.
    """
    left_out = loaded.left_out + learn.left_out + test.left_out
    if not learn:
        first = f"; the first of {len(left_out)}: {left_out[0]}" if left_out else ""
        raise ValueError(f"no chat is left to learn from{first}")
    if left_out:
        with suppress(OSError):
            (run.folder.path / "left_out.txt").write_text("\n".join(left_out) + "\n")
        run.advise(
            f"{len(left_out)} chats are left out, see left_out.txt; the first: {left_out[0]}"
        )
    if learn.cut + test.cut:
        run.advise(
            f"{learn.cut + test.cut} examples are longer than the model takes, and lost their end"
        )
    if not test:
        run.advise("no chat is held out, so nothing shows when the model only learns by heart")


def _told(asked: list[chats.Messages], was: Scores, now: Scores) -> list[dict[str, object]]:
    return [
        {
            "messages": [*chat[:-1], {"role": "assistant", "content": heard}],
            "reward": float(hit),
            "note": f"before: {earlier}",
        }
        for chat, earlier, heard, hit in list(
            zip(asked, was.answers, now.answers, now.hits, strict=True)
        )[:SHOWN]
    ]


def _count(recipe: ChatSL) -> int:
    """About how many chats there are to learn from; a hundred batches where nobody knows."""
    most = recipe.limit or 1 << 30
    if recipe.data is None:
        return min(chats.BUILT_IN, most)
    path = Path(recipe.data)
    if path.suffix == ".jsonl" and path.is_file():
        with path.open("rb") as file:
            return min(sum(1 for line in file if line.strip()), most)
    return recipe.limit or 100 * recipe.batch_size


if __name__ == "__main__":
    main(ChatSL)
