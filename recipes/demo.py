"""`manage.py demo`: teach a nano model Pig Latin over HTTP, and show it before and after.

Needs TINSMITH_BASE_URL and TINSMITH_API_KEY. Ends with status 0 only if the loss fell and the
model has learnt its task.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from recipes.pig_latin import Recipe, Step, Word, answer, exact_match, split_words, train
from tinsmith import ServiceClient

MODEL = "tinsmith/nano-qwen3"
LEARNT = 0.90
SHOWN_WORDS = 6
TABLE_ROWS = 10
BAR_WIDTH = 30

SNIPPET = """\
    from tinsmith import AdamParams, Datum, ServiceClient
    service = ServiceClient()                      # reads TINSMITH_BASE_URL and TINSMITH_API_KEY
    training = service.create_lora_training_client("{model}", rank=32)
    text = training.get_tokenizer()
    for step in range(100):
        data = [Datum.from_tokens(text.encode(line)) for line in my_lines(step)]
        loss = training.forward_backward(data, "cross_entropy")
        training.optim_step(AdamParams(learning_rate=5e-3))
        print(step, loss.result().loss)
    sampler = training.save_weights_and_get_sampling_client()"""


def main() -> int:
    """Run the demo; returns the exit status."""
    recipe = Recipe()
    learn, held_out = split_words(recipe.held_out)
    with ServiceClient() as service:
        print(f"Teaching {MODEL} Pig Latin: {len(learn)} words to learn from, ", end="")
        print(f"{len(held_out)} others to test with.\n")
        training = service.create_lora_training_client(MODEL, rank=recipe.rank, seed=recipe.seed)
        tokenizer = training.get_tokenizer()
        before = answer(service.create_sampling_client(base_model=MODEL), tokenizer, held_out)

        steps = list(_shown(train(training, tokenizer, learn, recipe), recipe.steps))
        sampler = training.save_weights_and_get_sampling_client()
        after = answer(sampler, tokenizer, held_out)
    _print_samples(held_out, before, after)
    return _verdict(steps, exact_match(held_out, before), exact_match(held_out, after))


def _shown(steps: Iterator[Step], count: int) -> Iterator[Step]:
    """Pass steps on, with a table of losses and, on a terminal, a progress bar beneath it."""
    live = sys.stdout.isatty()
    print("    step      loss   tokens/s   seconds")
    tokens = 0
    for step in steps:
        tokens += step.tokens
        number = step.index + 1
        if number == 1 or number % (count // TABLE_ROWS) == 0:
            rate = tokens / max(step.seconds, 1e-9)
            start = "\r" if live else ""
            print(
                f"{start}    {number:4d}  {step.loss:8.4f}   {rate:8.0f}  {step.seconds:8.1f}"
                + " " * BAR_WIDTH * live
            )
        if live:
            filled = number * BAR_WIDTH // count
            bar = "█" * filled + "·" * (BAR_WIDTH - filled)
            print(f"\r    {bar} {number}/{count}", end="", flush=True)
        yield step
    print("\r" + " " * (BAR_WIDTH + 16) if live else "")


def _print_samples(words: Sequence[Word], before: Sequence[str], after: Sequence[str]) -> None:
    print(f"    {'word':12}{'before':22}{'after':22}right answer")
    for word, was, now in list(zip(words, before, after, strict=True))[:SHOWN_WORDS]:
        print(f"    {word.word:12}{was[:20]:22}{now[:20]:22}{word.answer}")


def _verdict(steps: Sequence[Step], before: float, after: float) -> int:
    fell = steps[-1].loss < steps[0].loss
    learnt = after >= LEARNT
    print(f"\n    loss {steps[0].loss:.3f} → {steps[-1].loss:.3f} in {steps[-1].seconds:.0f} s")
    print(f"    held-out words right to the letter: {before:.0%} → {after:.0%}\n")
    if not (fell and learnt):
        print(f"The model has not learnt its task: {LEARNT:.0%} and a falling loss were expected.")
        return 1
    url = os.environ.get("TINSMITH_BASE_URL", "")
    print(f"    front page  {url}/\n    admin       {url}/admin/\n")
    print("The same in ten lines of your own:\n")
    print(SNIPPET.format(model=MODEL) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
