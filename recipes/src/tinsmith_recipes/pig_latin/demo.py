"""`manage.py demo`: teach a nano model Pig Latin over HTTP, and show it before and after.

Needs TINSMITH_BASE_URL and TINSMITH_API_KEY. Ends with status 0 only if the loss fell and the
model has learnt its task.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Sequence

from tinsmith_recipes.pig_latin.data import Word, split_words
from tinsmith_recipes.pig_latin.train import PigLatin
from tinsmith_recipes.training import Summary
from tinsmith_recipes.training.folder import RunFolder

SHOWN_WORDS = 6

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
    with tempfile.TemporaryDirectory(prefix="tinsmith-demo-") as folder:
        recipe = PigLatin(log_path=folder)
        learn, held_out = split_words(recipe.held_out, recipe.seed)
        print(f"Teaching {recipe.base_model} Pig Latin: {len(learn)} words to learn from, ", end="")
        print(f"{len(held_out)} others to test with.\n", flush=True)
        summary = asyncio.run(recipe.run())
        files = RunFolder.of(folder)
        losses = [row["train_mean_nll"] for row in files.metrics if "train_mean_nll" in row]
        said = files.memo["before"], files.memo["after"]
    _print_samples(held_out, *said)
    return _verdict(recipe, summary, losses)


def _print_samples(words: Sequence[Word], before: Sequence[str], after: Sequence[str]) -> None:
    print(f"\n    {'word':12}{'before':22}{'after':22}right answer")
    for word, was, now in list(zip(words, before, after, strict=True))[:SHOWN_WORDS]:
        print(f"    {word.word:12}{was[:20]:22}{now[:20]:22}{word.answer}")


def _verdict(recipe: PigLatin, summary: Summary, losses: Sequence[float]) -> int:
    before, after = summary.figures["before"], summary.figures["exact_match"]
    print(f"\n    loss a token {losses[0]:.3f} → {losses[-1]:.3f} in {summary.seconds:.0f} s")
    print(f"    held-out words right to the letter: {before.value:.0%} → {after.value:.0%}\n")
    if losses[-1] >= losses[0] or not all(one.holds(summary.figures) for one in recipe.goals):
        promised = ", ".join(map(str, recipe.goals))
        print(f"The model has not learnt its task: a falling loss and {promised} were expected.")
        return 1
    url = os.environ.get("TINSMITH_BASE_URL", "")
    for name, address in {
        "front page": f"{url}/",
        "admin": f"{url}/admin/",
        "quickstart": f"{url}/docs/quickstart",
        "checkpoint": summary.sampler_path,
    }.items():
        print(f"    {name:12}{address}")
    print()
    print("The same in ten lines of your own:\n")
    print(SNIPPET.format(model=recipe.base_model) + "\n")
    print(
        f"Chat with it:\n\n    tinsmith chat {summary.sampler_path} \"Say 'kettle' in Pig Latin.\""
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
