"""Proof that LoRA teaches a nano model Pig Latin, which it has never seen. PEFT trains here.

`python -m gpu_workers.nano.pig_latin --model nano-qwen3` prints held-out exact match before, after.
"""

import argparse
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from gpu_workers.nano.evaluate import answers, load
from gpu_workers.nano.text.words import first_vowel, split_words

TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the demo does too."""

    learning_rate: float = 5e-3
    batch: int = 32
    steps: int = 150
    warmup: int = 10
    rank: int = 32
    words: int | None = None  # how many words to learn from; all by default
    held_out: int = 100
    seed: int = 0


def pig_latin(word: str) -> str:
    """`banana` → `ananabay`; a word that starts with a vowel gets `way` alone: `appleway`."""
    cut = first_vowel(word)
    return word[cut:] + word[:cut] + "ay" if cut else word + "way"


def request(word: str) -> str:
    """What the user says."""
    return f"Say '{word}' in Pig Latin."


def lora(model: Any, recipe: Recipe) -> Any:
    """The model with an adapter as Tinsmith makes it: alpha 32, A uniform ±1/√d_in, B zero."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)
    config = LoraConfig(r=recipe.rank, lora_alpha=32, target_modules=TARGETS)
    adapted = get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_A" in name:
            bound = 1 / math.sqrt(parameter.shape[1])
            torch.nn.init.uniform_(parameter, -bound, bound)
    return adapted


def exact_match(model: Any, tokenizer: Any, words: Sequence[str]) -> float:
    """Share of the words whose greedy answer is right."""
    said = answers(model, tokenizer, [request(word) for word in words])
    return sum(one == pig_latin(word) for one, word in zip(said, words, strict=True)) / len(words)


def datum(tokenizer: Any, word: str) -> tuple[list[int], int]:
    """Ids of the whole chat up to the end of the answer, and where the answer starts."""
    ask = [{"role": "user", "content": request(word)}]
    prompt = tokenizer.apply_chat_template(ask, add_generation_prompt=True, return_dict=False)
    answer = tokenizer(pig_latin(word) + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return prompt + answer, len(prompt)


def train(model: Any, tokenizer: Any, words: Sequence[str], recipe: Recipe) -> int:
    """Trains the adapter; returns how many tokens went through."""
    import torch
    import torch.nn.functional as F

    parameters = [p for p in model.parameters() if p.requires_grad]
    adam = torch.optim.Adam(parameters, betas=(0.9, 0.95), eps=1e-12, fused=True)
    r = Random(recipe.seed)
    queue: list[str] = []
    seen = 0
    for step in range(recipe.steps):
        while len(queue) < recipe.batch:
            queue += r.sample(list(words), len(words))
        chosen, queue = queue[: recipe.batch], queue[recipe.batch :]
        rows = [datum(tokenizer, word) for word in chosen]
        length = max(len(ids) for ids, _ in rows)
        tokens = torch.full((len(rows), length), tokenizer.pad_token_id)
        weights = torch.zeros(len(rows), length)
        for i, (ids, start) in enumerate(rows):
            tokens[i, : len(ids)] = torch.tensor(ids)
            weights[i, start : len(ids)] = 1.0
            seen += len(ids) - 1
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
        losses = F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten(), reduction="none")
        (losses * weights[:, 1:].flatten()).sum().backward()
        share = min(1.0, (step + 1) / recipe.warmup) * (1 - step / recipe.steps)
        for group in adam.param_groups:
            group["lr"] = recipe.learning_rate * share
        adam.step()
        adam.zero_grad()
    return seen


def main() -> None:
    """Command line."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    torch.set_num_threads(1)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="nano-qwen3", help="name or folder")
    for field in fields(Recipe):
        kind = float if field.name == "learning_rate" else int
        parser.add_argument("--" + field.name.replace("_", "-"), type=kind, default=field.default)
    arguments = vars(parser.parse_args())
    name = arguments.pop("model")
    recipe = Recipe(**arguments)
    model, tokenizer = load(name)
    learn, held_out = split_words(recipe.held_out)
    learn = learn[: recipe.words]
    before = exact_match(model, tokenizer, held_out)
    adapted = lora(model, recipe)
    wall, cpu = time.perf_counter(), time.process_time()
    tokens = train(adapted, tokenizer, learn, recipe)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    adapted.eval()
    after = exact_match(adapted, tokenizer, held_out)
    print(
        f"{name}: {recipe}\nheld-out exact match {before:.0%} -> {after:.0%}; {tokens} tokens, "
        f"{cpu:.0f} CPU seconds, {wall:.0f} s, {tokens / cpu:.0f} tokens a CPU second"
    )


if __name__ == "__main__":
    main()
