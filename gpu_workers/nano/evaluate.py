"""What a nano model can do: greedy answers to fresh tasks, as a table for the README."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from random import Random
from typing import Any

from gpu_workers.nano import NAMES, folder
from gpu_workers.nano.text.mixture import TASKS, one_turn
from gpu_workers.nano.text.sentences import is_right

_LONGEST_ANSWER = 64
_BATCH = 100


def load(name_or_folder: str | Path) -> tuple[Any, Any]:
    """Model (float32, eval mode) and tokenizer, as any user of transformers loads them."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = folder(name_or_folder) if name_or_folder in NAMES else Path(name_or_folder)
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    return model, AutoTokenizer.from_pretrained(path)


def answers(model: Any, tokenizer: Any, requests: Sequence[str]) -> list[str]:
    """Greedy answers to one-turn chats, without the end token; batched by length."""
    import torch

    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": request}], add_generation_prompt=True, return_dict=False
        )
        for request in requests
    ]
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    found = [""] * len(prompts)
    for start in range(0, len(order), _BATCH):
        numbers = order[start : start + _BATCH]
        length = len(prompts[numbers[-1]])
        tokens = torch.full((len(numbers), length), tokenizer.pad_token_id)
        mask = torch.zeros_like(tokens)
        for row, number in enumerate(numbers):
            tokens[row, length - len(prompts[number]) :] = torch.tensor(prompts[number])
            mask[row, length - len(prompts[number]) :] = 1
        with torch.no_grad():
            out = model.generate(
                tokens, attention_mask=mask, max_new_tokens=_LONGEST_ANSWER, do_sample=False
            )
        for number, row in zip(numbers, out[:, length:].tolist(), strict=True):
            found[number] = tokenizer.decode(row, skip_special_tokens=True)
    return found


def accuracy(model: Any, tokenizer: Any, task: str, count: int = 100, seed: int = 12345) -> float:
    """Share of exactly right answers to `count` fresh requests of the named task."""
    r = Random(f"{task} {seed}")
    turns = [one_turn(r, task, exact=True) for _ in range(count)]
    said = answers(model, tokenizer, [request for request, _ in turns])
    return sum(is_right(task, *turn, one) for one, turn in zip(said, turns, strict=True)) / count


def table(names: Sequence[str], count: int) -> str:
    """Markdown: one row a task, one column a model, with an example."""
    loaded = [load(name) for name in names]
    heads = [Path(name).name for name in names]
    lines = ["| task | example | " + " | ".join(heads) + " |", "|---|---|" + "---|" * len(names)]
    for task in TASKS:
        request, answer = one_turn(Random(f"{task} example"), task, exact=True)
        cells = [f"{accuracy(*pair, task, count):.0%}".replace("%", " %") for pair in loaded]
        lines.append(f"| {task} | {request} → `{answer}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Command line: prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", help="name or folder; may be repeated")
    parser.add_argument("--count", type=int, default=100, help="requests a task")
    arguments = parser.parse_args()
    print(table(arguments.model or NAMES, arguments.count))


if __name__ == "__main__":
    main()
