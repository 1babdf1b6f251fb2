"""The training loop: batches of questions with their answers, one optimizer step each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from recipes.pig_latin.task import Word
from tinsmith import AdamParams, Datum, ModelInput, SamplingClient, SamplingParams, TrainingClient

LONGEST_ANSWER = 24


@dataclass(frozen=True, slots=True)
class Recipe:
    """The hyper-parameters; the rate falls linearly to zero after the warm-up."""

    rank: int = 32
    learning_rate: float = 5e-3
    batch: int = 32
    steps: int = 100
    warmup: int = 10
    held_out: int = 100
    seed: int = 0

    def rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.learning_rate * min(1.0, (step + 1) / self.warmup) * (1 - step / self.steps)


@dataclass(frozen=True, slots=True)
class Step:
    """What one step cost and gave: loss a trained token, tokens sent, seconds since the start."""

    index: int
    loss: float
    tokens: int
    seconds: float


def train(
    client: TrainingClient, tokenizer: Any, words: Sequence[Word], recipe: Recipe
) -> Iterator[Step]:
    """Train on `words`, yielding each step; the next one is under way meanwhile."""
    begun = time.monotonic()
    batches = _batches(words, recipe)
    under_way = _submit(client, tokenizer, next(batches), recipe, 0)
    for index in range(recipe.steps):
        ahead = index + 1
        # handed in before the last one's result is read, so that the server never waits for us
        following = (
            _submit(client, tokenizer, next(batches), recipe, ahead)
            if ahead < recipe.steps
            else None
        )
        passed, stepped, trained, tokens = under_way
        loss = passed.result().loss / trained
        stepped.result()
        yield Step(index, loss, tokens, time.monotonic() - begun)
        if following is not None:
            under_way = following


def _submit(
    client: TrainingClient, tokenizer: Any, words: Sequence[Word], recipe: Recipe, index: int
) -> tuple[Any, Any, float, int]:
    """Hand in one step; returns both futures, the trained tokens and all tokens."""
    data = [_datum(tokenizer, word) for word in words]
    passed = client.forward_backward(data, "cross_entropy")
    stepped = client.optim_step(AdamParams(learning_rate=recipe.rate(index)))
    trained = sum(float(datum.loss_fn_inputs["weights"].to_numpy().sum()) for datum in data)
    return passed, stepped, trained, sum(datum.model_input.length for datum in data)


def answer(sampler: SamplingClient, tokenizer: Any, words: Sequence[Word]) -> list[str]:
    """What the model says to each question at temperature 0."""
    params = SamplingParams(max_tokens=LONGEST_ANSWER, temperature=0.0)
    futures = [
        sampler.sample(ModelInput.from_ints(_prompt(tokenizer, word)), 1, params) for word in words
    ]
    return [
        tokenizer.decode(future.result().sequences[0].tokens, skip_special_tokens=True).strip()
        for future in futures
    ]


def _batches(words: Sequence[Word], recipe: Recipe) -> Iterator[list[Word]]:
    """Endless batches; every word comes once before any comes again."""
    random = Random(recipe.seed)
    queue: list[Word] = []
    while True:
        while len(queue) < recipe.batch:
            queue += random.sample(list(words), len(words))
        yield queue[: recipe.batch]
        del queue[: recipe.batch]


def _prompt(tokenizer: Any, word: Word) -> list[int]:
    chat = [{"role": "user", "content": word.question}]
    return tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=False)


def _datum(tokenizer: Any, word: Word) -> Datum:
    """The whole chat; only the answer and its end are trained on."""
    prompt = _prompt(tokenizer, word)
    said = tokenizer(word.answer + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return Datum.from_tokens(prompt + said, weights=[0.0] * len(prompt) + [1.0] * len(said))
