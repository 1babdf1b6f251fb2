"""The Pig Latin trial: its rule, its adapter, and that a few steps already lower the loss."""

import math
import re

import pytest
import torch

from gpu_workers.nano.evaluate import load
from gpu_workers.nano.pig_latin import TARGETS, Recipe, datum, exact_match, lora, pig_latin, train
from gpu_workers.nano.text.words import split_words


@pytest.mark.parametrize(
    ("word", "answer"),
    [("banana", "ananabay"), ("string", "ingstray"), ("apple", "appleway"), ("rhythm", "rhythmay")],
)
def test_rule(word: str, answer: str) -> None:
    assert pig_latin(word) == answer


def test_datum_is_a_chat_whose_answer_ends_the_turn() -> None:
    _, tokenizer = load("nano-qwen3")
    ids, start = datum(tokenizer, "banana")
    assert tokenizer.decode(ids[start:]) == "ananabay<|im_end|>"
    assert tokenizer.decode(ids[:start]).endswith("Pig Latin.<|im_end|>\n<|im_start|>assistant\n")


def test_adapter_is_as_tinsmith_makes_it() -> None:
    model, _ = load("nano-llama3")
    adapted = lora(model, Recipe(rank=4))
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    modules = {re.sub(r".*\.(\w+)\.lora_.*", r"\1", n) for n in trained}
    assert modules == set(TARGETS)
    assert len(trained) == 2 * (4 * 7 + 1)
    for name, parameter in trained.items():
        if "lora_B" in name:
            assert not parameter.any()
        else:
            bound = 1 / math.sqrt(parameter.shape[1])
            assert 0.8 * bound < parameter.abs().max() <= bound


def test_a_short_training_learns_some_of_it() -> None:
    """The full recipe is `python -m gpu_workers.nano.pig_latin`; a fifth shows the way."""
    torch.set_num_threads(1)
    model, tokenizer = load("nano-qwen3")
    learn, held_out = split_words(30)
    adapted = lora(model, Recipe())
    tokens = train(adapted, tokenizer, learn, Recipe(steps=40, batch=24))
    assert 30_000 < tokens < 40_000
    assert exact_match(adapted.eval(), tokenizer, held_out) > 0.5
