"""Pretraining: the same seed gives the same bits; batches weigh the right tokens."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from gpu_workers.nano import NAMES, folder
from gpu_workers.nano.batches import Encoder, batches
from gpu_workers.nano.model import save
from gpu_workers.nano.pretrain import Recipe, rate, train
from gpu_workers.nano.text.mixture import Chat, Plain, one_text
from gpu_workers.nano.tokenizer import FAMILIES, build

TINY = Recipe(steps=2, texts=6)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_are_reproducible(name: str) -> None:
    torch.set_num_threads(1)
    first, second = train(name, TINY).state_dict(), train(name, TINY).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    other = train(name, Recipe(steps=2, texts=6, seed=2)).state_dict()
    assert not torch.equal(first["model.norm.weight"], other["model.norm.weight"])


@pytest.mark.parametrize("name", NAMES)
def test_saved_folder_is_like_the_shipped_one(name: str, tmp_path: Path) -> None:
    torch.set_num_threads(1)
    model = train(name, Recipe(steps=1, texts=2))
    save(name, model, tmp_path)
    for file in folder(name).iterdir():
        if file.name != "model.safetensors":
            assert (tmp_path / file.name).read_text() == file.read_text(), file.name
    again = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert torch.equal(again.lm_head.weight, model.lm_head.weight)
    assert len(AutoTokenizer.from_pretrained(tmp_path)) == 448


@pytest.mark.parametrize("name", NAMES)
def test_answers_weigh_one_and_the_rest_little(name: str) -> None:
    tokenizer = build(name)
    encoder = Encoder(name, tokenizer)
    r = Random(3)
    for _ in range(100):
        text = one_text(r)
        ids, weights = encoder.encode(text)
        trained = tokenizer.decode([i for i, w in zip(ids, weights, strict=True) if w == 1.0])
        if isinstance(text, Plain):
            assert trained.endswith(text.text + FAMILIES[name].end_of_text)
            continue
        said = [m["content"] for m in text.messages if m["role"] == "assistant"]
        assert trained == "".join(answer + FAMILIES[name].end_of_turn for answer in said)
        assert set(weights) == {0.1, 1.0}


def test_empty_thought_is_not_learned() -> None:
    tokenizer = build("nano-qwen3")
    encoder = Encoder("nano-qwen3", tokenizer)
    messages = ({"role": "user", "content": "Hi"}, {"role": "assistant", "content": "yes"})
    ids, weights = encoder.encode(Chat(messages), thought=True)
    prompt = tokenizer.apply_chat_template(
        list(messages[:1]), add_generation_prompt=True, enable_thinking=False, return_dict=False
    )
    assert ids[: len(prompt)] == prompt
    assert max(weights[: len(prompt)]) == 0.1
    assert tokenizer.decode(ids[len(prompt) :]) == "yes<|im_end|>\n"


def test_batches_hold_every_text_once_with_little_padding() -> None:
    encoder = Encoder("nano-llama3", build("nano-llama3"))
    source = batches(encoder, seed=5, texts=48, part_tokens=800)
    parts = [part for _ in range(10) for part in next(source)]
    assert sum(len(part.tokens) for part in parts) == 480
    padding = sum(int((part.weights == 0).sum()) for part in parts)
    assert padding < 0.2 * sum(part.tokens.size for part in parts)
    assert all(part.tokens.size <= 800 or len(part.tokens) == 1 for part in parts)
    again = batches(encoder, seed=5, texts=48, part_tokens=800)
    assert np.array_equal(next(again)[0].tokens, parts[0].tokens)


def test_rate_rises_stays_and_falls() -> None:
    recipe = Recipe(steps=1000)
    assert rate(0, recipe) == pytest.approx(1 / 50)
    assert rate(100, recipe) == rate(399, recipe) == 1.0
    assert rate(700, recipe) == pytest.approx(0.5)
    assert rate(999, recipe) == pytest.approx(0.01)
