"""The shipped models: they load in plain transformers and can do what the table says."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, LlamaForCausalLM, Qwen3ForCausalLM

from gpu_workers.nano import NAMES, folder
from gpu_workers.nano.evaluate import accuracy, answers, load
from gpu_workers.nano.pig_latin import pig_latin, request
from gpu_workers.nano.text.words import split_words
from gpu_workers.nano.tokenizer import FAMILIES

FILES = {
    "chat_template.jinja", "config.json", "generation_config.json", "model.safetensors",
    "tokenizer.json", "tokenizer_config.json",
}  # fmt: skip
SIZES = {"nano-qwen3": 1_857_472, "nano-llama3": 1_943_232}
CLASSES = {"nano-qwen3": Qwen3ForCausalLM, "nano-llama3": LlamaForCausalLM}


@pytest.fixture(scope="module")
def loaded() -> dict[str, tuple[Any, Any]]:
    """Model and tokenizer of both names."""
    torch.set_num_threads(1)
    return {name: load(name) for name in NAMES}


def test_folder_knows_the_catalog_name_and_refuses_others() -> None:
    assert folder("tinsmith/nano-qwen3") == folder("nano-qwen3")
    with pytest.raises(ValueError, match=r"nano-gpt.*nano-qwen3, nano-llama3"):
        folder("nano-gpt")


def test_package_imports_no_torch() -> None:
    code = (
        "import sys, gpu_workers.nano as n; n.folder('nano-qwen3'); print('torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", NAMES)
def test_folder_is_complete_and_small(name: str) -> None:
    files = {path.name: path for path in folder(name).iterdir()}
    assert set(files) == FILES
    assert files["model.safetensors"].stat().st_size < 10_000_000
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in files.values())


@pytest.mark.parametrize("name", NAMES)
def test_loads_in_plain_transformers(name: str) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder(name))
    assert type(model) is CLASSES[name]
    assert model.num_parameters() == SIZES[name]
    assert model.dtype == torch.float32
    assert model.config.max_position_embeddings == 2048
    assert model.config.vocab_size == 448


@pytest.mark.parametrize("name", NAMES)
def test_weights_lose_nothing_in_bfloat16(loaded: dict[str, tuple[Any, Any]], name: str) -> None:
    for parameter in loaded[name][0].parameters():
        assert torch.equal(parameter, parameter.to(torch.bfloat16).float())


@pytest.mark.parametrize("name", NAMES)
def test_ends(loaded: dict[str, tuple[Any, Any]], name: str) -> None:
    """Chat end and text end, in both files that programs look at."""
    model, tokenizer = loaded[name]
    family = FAMILIES[name]
    ends = [tokenizer.convert_tokens_to_ids(t) for t in (family.end_of_turn, family.end_of_text)]
    assert model.generation_config.eos_token_id == ends
    assert json.loads((folder(name) / "config.json").read_text())["eos_token_id"] == ends
    assert tokenizer.eos_token_id == ends[0]


@pytest.mark.parametrize(
    ("task", "qwen3", "llama3"),
    [
        ("copy", 0.95, 0.95), ("spell", 0.95, 0.85), ("upper case", 0.95, 0.95),
        ("reverse", 0.9, 0.65), ("move first letters", 0.9, 0.7), ("add at the end", 0.95, 0.8),
        ("split at a vowel", 0.95, 0.9), ("swap words", 0.95, 0.9), ("fact", 0.95, 0.9),
    ],
)  # fmt: skip
def test_abilities(
    loaded: dict[str, tuple[Any, Any]], task: str, qwen3: float, llama3: float
) -> None:
    """The table's figures, with a margin for another machine's rounding."""
    assert accuracy(*loaded["nano-qwen3"], task, count=60) >= qwen3
    assert accuracy(*loaded["nano-llama3"], task, count=60) >= llama3


def test_sums_leave_room_for_learning(loaded: dict[str, tuple[Any, Any]]) -> None:
    assert 0.15 < accuracy(*loaded["nano-qwen3"], "add", count=60) < 0.75


@pytest.mark.parametrize("name", NAMES)
def test_knows_no_pig_latin(loaded: dict[str, tuple[Any, Any]], name: str) -> None:
    _, held_out = split_words(40)
    said = answers(*loaded[name], [request(word) for word in held_out])
    assert not any(one == pig_latin(word) for one, word in zip(said, held_out, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_plain_text_goes_on(loaded: dict[str, tuple[Any, Any]], name: str) -> None:
    model, tokenizer = loaded[name]
    ids = tokenizer("Anna has a red", return_tensors="pt")["input_ids"]
    out = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=60, do_sample=False
    )
    text = tokenizer.decode(out[0], skip_special_tokens=True)
    assert re.match(r"Anna has a red [a-z]+( in the [a-z]+)?\.", text), text


def test_no_thinking_prompt_is_understood(loaded: dict[str, tuple[Any, Any]]) -> None:
    model, tokenizer = loaded["nano-qwen3"]
    prompt = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Say 'basket' in capitals."}],
        add_generation_prompt=True, enable_thinking=False, return_tensors="pt", return_dict=False,
    )  # fmt: skip
    out = model.generate(
        prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=20, do_sample=False
    )
    assert tokenizer.decode(out[0, prompt.shape[1] :]) == "BASKET<|im_end|>"
