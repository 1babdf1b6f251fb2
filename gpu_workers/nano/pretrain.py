"""Trains a nano model from nothing: `python -m gpu_workers.nano.pretrain --model nano-qwen3`."""

import argparse
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpu_workers.nano import NAMES, folder

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Recipe:
    """How long and how fast. The shipped weights come from the defaults."""

    steps: int = 1600
    texts: int = 48  # texts a step, about 2,600 tokens
    part_tokens: int = 800
    muon_lr: float = 0.02
    adam_lr: float = 0.003
    weight_decay: float = 0.02
    warmup: int = 50
    seed: int = 1
    autocast: bool = False


def optimizers(model: Any, recipe: Recipe) -> "list[torch.optim.Optimizer]":
    """Muon for the matrices inside the layers, Adam for embeddings, head and norms."""
    import torch

    inside: list[torch.nn.Parameter] = []
    outside: list[torch.nn.Parameter] = []
    for name, parameter in model.named_parameters():
        (inside if parameter.ndim == 2 and ".layers." in name else outside).append(parameter)
    return [
        torch.optim.Muon(
            inside, lr=recipe.muon_lr, weight_decay=recipe.weight_decay, momentum=0.95,
            adjust_lr_fn="original",
        ),
        torch.optim.AdamW(
            outside, lr=recipe.adam_lr, betas=(0.9, 0.95), weight_decay=0.0, fused=True
        ),
    ]  # fmt: skip


def rate(step: int, recipe: Recipe) -> float:
    """Share of the full learning rate: a short rise, full until 40 %, then straight to nearly 0."""
    rise = min(1.0, (step + 1) / recipe.warmup)
    left = (recipe.steps - step) / (0.6 * recipe.steps)
    return rise * min(1.0, max(left, 0.01))


def step_loss(model: Any, batch: Any, device: str, autocast: bool) -> "torch.Tensor":
    """Weighted sum of the next-token losses of one batch."""
    import torch
    import torch.nn.functional as F

    tokens = torch.from_numpy(batch.tokens).to(device)
    weights = torch.from_numpy(batch.weights).to(device)[:, 1:]
    with torch.autocast(device, torch.bfloat16, enabled=autocast):
        # No attention mask: padding stands on the right, where causal attention never looks.
        logits = model(input_ids=tokens[:, :-1], use_cache=False).logits
    targets = tokens[:, 1:].flatten()
    losses = F.cross_entropy(logits.flatten(0, 1).float(), targets, reduction="none")
    return (losses * weights.flatten()).sum()


def train(name: str, recipe: Recipe, device: str = "cpu", log: Any = print) -> Any:
    """The trained model. Same recipe, machine and thread count give the same bits."""
    import torch

    from gpu_workers.nano.batches import Encoder, batches
    from gpu_workers.nano.model import new_model
    from gpu_workers.nano.tokenizer import build

    torch.manual_seed(recipe.seed)
    model = new_model(name).to(device).train()
    steppers = optimizers(model, recipe)
    base_rates = [[group["lr"] for group in stepper.param_groups] for stepper in steppers]
    source = batches(Encoder(name, build(name)), recipe.seed, recipe.texts, recipe.part_tokens)
    started, cpu, tokens = time.perf_counter(), time.process_time(), 0
    running = 0.0
    for step in range(recipe.steps):
        parts = next(source)
        total = float(sum(part.weights[:, 1:].sum() for part in parts))
        for part in parts:
            loss = step_loss(model, part, device, recipe.autocast) / total
            loss.backward()
            running += loss.item()
            tokens += part.tokens.size
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for stepper, rates in zip(steppers, base_rates, strict=True):
            for group, full in zip(stepper.param_groups, rates, strict=True):
                group["lr"] = full * rate(step, recipe)
            stepper.step()
            stepper.zero_grad()
        if (step + 1) % 100 == 0:
            log(
                f"{name} step {step + 1} loss {running / 100:.3f} tokens {tokens} "
                f"cpu {time.process_time() - cpu:.0f}s wall {time.perf_counter() - started:.0f}s"
            )
            running = 0.0
    return model.eval().cpu()


def main() -> None:
    """Command line."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import torch

    from gpu_workers.nano.model import save

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=NAMES, required=True)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--steps", type=int, default=Recipe().steps)
    parser.add_argument("--threads", type=int, default=1, help="the shipped weights came from one")
    parser.add_argument("--output", type=Path, help="folder to write; default: the shipped one")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    model = train(arguments.model, Recipe(steps=arguments.steps), arguments.device)
    save(arguments.model, model, arguments.output or folder(arguments.model))


if __name__ == "__main__":
    main()
