"""Supervised fine-tuning in one flat loop on the SDK alone, to be read, copied and changed.

    python -m tinsmith_recipes.sl_loop [chats.jsonl]

Without a file it teaches Pig Latin. A step is handed in before the last one's result is waited for,
so that the server never waits for us. Started again, it goes on from its last checkpoint.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from random import Random
from typing import Any

from tinsmith import AdamParams, Datum, ServiceClient
from tinsmith import renderers as rendering
from tinsmith.data import Messages, load_chats

MODEL = "tinsmith/nano-qwen3"
STEPS = 40
BATCH_SIZE = 32
LEARNING_RATE = 5e-3
SAVE_EVERY = 20
SEED = 0
HELD_OUT = 2
KEPT = Path("tinsmith-runs/sl_loop/checkpoints.jsonl")
WORDS = "banana kettle window apple market garden orange silver winter planet button ladder"


def chats(source: str | None) -> list[Messages]:
    """The chats of a file; without one, some that are made here."""
    if source is not None:
        return load_chats(source)
    made = []
    for word in WORDS.split():
        place = next(place for place, letter in enumerate(word) if letter in "aeiou")
        latin = word[place:] + word[:place] + ("ay" if place else "way")
        question = {"role": "user", "content": f"Say '{word}' in Pig Latin."}
        made.append([question, {"role": "assistant", "content": latin}])
    return made


def datum(chat: Messages, renderer: rendering.Renderer) -> Datum:
    """The chat with weights that sum to 1, on what the assistant says last."""
    example = renderer.example(chat)
    total = sum(example.weights)
    return Datum.from_tokens(example.tokens, weights=[one / total for one in example.weights])


def batch(data: list[Datum], step: int) -> list[Datum]:
    """The datums of a step: a function of the step, so that any step can be the first."""
    places = range(step * BATCH_SIZE, (step + 1) * BATCH_SIZE)
    order = {epoch: list(range(len(data))) for epoch in {at // len(data) for at in places}}
    for epoch, shuffled in order.items():
        Random(f"{SEED} {epoch}").shuffle(shuffled)
    return [data[order[at // len(data)][at % len(data)]] for at in places]


def checkpoints() -> list[dict[str, Any]]:
    """What was saved by this run, oldest first."""
    return [json.loads(line) for line in KEPT.read_text().splitlines()] if KEPT.exists() else []


def keep(step: int, path: str) -> None:
    """Remember a checkpoint, and the step to go on with."""
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    with KEPT.open("a") as file:
        file.write(json.dumps({"step": step, "path": path}) + "\n")


async def main(source: str | None = None) -> None:
    """Train, and print a line a step."""
    rows = checkpoints()
    async with ServiceClient() as service:
        if rows:  # weights, optimizer and step number are all that a run is
            start = rows[-1]["step"]
            training = service.create_training_client_from_state_with_optimizer(rows[-1]["path"])
        else:
            start = 0
            training = service.create_lora_training_client(MODEL, rank=32, seed=SEED)
        renderer = rendering.for_model(MODEL, training.get_tokenizer())
        data = [datum(chat, renderer) for chat in chats(source)]
        Random(SEED).shuffle(data)
        learn, held_out = data[HELD_OUT:], data[:HELD_OUT]

        async def told(step: int, passed: Any, stepped: Any) -> None:
            loss = (await passed).loss / BATCH_SIZE
            await stepped
            print(f"step {step:3}  loss {loss:.4f}", flush=True)
            training.log({"train_mean_nll": loss}, step)

        waiting = None
        for step in range(start, STEPS):
            rate = LEARNING_RATE * (1 - step / STEPS)
            passed = training.forward_backward(batch(learn, step), "cross_entropy")
            stepped = training.optim_step(AdamParams(learning_rate=rate, eps=1e-8))
            saved = None
            if (step + 1) % SAVE_EVERY == 0 or step + 1 == STEPS:
                saved = training.save_state(f"step-{step + 1:06d}", overwrite=True)
            if waiting is not None:
                await waiting
            waiting = told(step, passed, stepped)
            if saved is not None:
                keep(step + 1, (await saved).path)
        if waiting is not None:
            await waiting

        output = await training.forward(held_out, "cross_entropy")
        print(f"held-out loss {output.loss / len(held_out):.4f}")
        final = await training.save_weights_for_sampler("final")
        print(f"chat with it: tinsmith chat {final.path}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2]))
