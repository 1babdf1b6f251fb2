"""Reinforcement learning in one flat loop on the SDK alone, to be read, copied and changed.

    python -m tinsmith_recipes.rl_loop

The model is asked which of two numbers is larger; each question is answered eight times, and what
was right is made likelier than what was wrong. Started again, it goes on from its last checkpoint.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from tinsmith import AdamParams, Datum, ModelInput, SamplingClient, SamplingParams, ServiceClient
from tinsmith import renderers as rendering
from tinsmith.types import SampledSequence

MODEL = "tinsmith/nano-qwen3"
STEPS = 20
QUESTIONS = 16  # asked in a step
ANSWERS = 8  # to each question
LEARNING_RATE = 1e-3
MAX_TOKENS = 8
SAVE_EVERY = 10
SEED = 0
KEPT = Path("tinsmith-runs/rl_loop/checkpoints.jsonl")


def questions(step: int) -> list[tuple[str, str]]:
    """Questions with their right answers: a function of the step, so that any step can be first."""
    random = Random(f"{SEED} {step}")
    pairs = [random.sample(range(100), 2) for _ in range(QUESTIONS)]
    return [(f"Which is larger, {a} or {b}?", str(max(a, b))) for a, b in pairs]


class Asker:
    """Has a model answer questions, and says how right it was."""

    def __init__(self, renderer: rendering.Renderer) -> None:
        self.renderer = renderer

    async def ask(
        self, sampler: SamplingClient, step: int, place: int, question: str, right: str
    ) -> tuple[ModelInput, Sequence[SampledSequence], list[float]]:
        """The prompt, ``ANSWERS`` samples after it, and the reward of each."""
        prompt = self.renderer.prompt([{"role": "user", "content": question}])
        params = SamplingParams(
            max_tokens=MAX_TOKENS,
            seed=SEED + step * QUESTIONS + place,
            stop=self.renderer.stop,
        )
        drawn = (await sampler.sample(prompt, ANSWERS, params)).sequences
        said = [self.renderer.parse(one.tokens).message["content"] for one in drawn]
        return prompt, drawn, [float(text == right) for text in said]


def datum(prompt: ModelInput, sample: SampledSequence, advantage: float) -> Datum:
    """A sample as ``importance_sampling`` takes it: zeros in the prompt, shifted by one."""
    given, drawn = prompt.to_ints(), sample.tokens
    zeros = np.zeros(len(given) - 1)
    return Datum.from_tokens(
        given + drawn,
        logprobs=np.concatenate([zeros, sample.logprobs]),
        advantages=np.concatenate([zeros, np.full(len(drawn), advantage)]),
    )


def checkpoints() -> list[dict[str, Any]]:
    """What was saved by this run, oldest first."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def keep(step: int, path: str) -> None:
    """Remember a checkpoint, and the step to go on with."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with KEPT.open("a") as file:
        file.write(json.dumps({"step": step, "path": path}) + "\n")


async def main() -> None:
    """Train, and print a line a step."""
    rows = checkpoints()
    async with ServiceClient() as service:
        if rows:  # weights, optimizer and step number are all that a run is
            start = rows[-1]["step"]
            training = service.create_training_client_from_state_with_optimizer(rows[-1]["path"])
        else:
            start = 0
            training = service.create_lora_training_client(MODEL, rank=32, seed=SEED)
        asker = Asker(rendering.for_model(MODEL, training.get_tokenizer()))

        for step in range(start, STEPS):
            sampler = training.save_weights_and_get_sampling_client()
            asked = await asyncio.gather(
                *(asker.ask(sampler, step, n, *one) for n, one in enumerate(questions(step)))
            )
            data = []
            for prompt, samples, rewards in asked:
                middle = sum(rewards) / len(rewards)
                if len(set(rewards)) > 1:  # a group that earned the same says nothing
                    pairs = zip(samples, rewards, strict=True)
                    data += [datum(prompt, one, reward - middle) for one, reward in pairs]
            metrics: dict[str, float] = {}
            if data:
                passed = training.forward_backward(data, "importance_sampling")
                stepped = training.optim_step(
                    AdamParams(learning_rate=LEARNING_RATE * (1 - step / STEPS), eps=1e-8)
                )
                metrics = (await passed).metrics
                await stepped
            rewards = [reward for _, _, some in asked for reward in some]
            reward, kl = sum(rewards) / len(rewards), metrics.get("kl_sample_train_v2:mean", 0.0)
            print(f"step {step:3}  right {reward:6.1%}  KL sampler/learner {kl:.1e}", flush=True)
            training.log({"reward/total": reward, "optim/kl_sample_train_v2": kl}, step)

            if (step + 1) % SAVE_EVERY == 0 or step + 1 == STEPS:
                saved = await training.save_state(f"step-{step + 1:06d}", overwrite=True)
                keep(step + 1, saved.path)

        final = await training.save_weights_for_sampler("final")
        print(f"chat with it: tinsmith chat {final.path}")


if __name__ == "__main__":
    asyncio.run(main())
