"""Learning rates: the formula's published values, and what it does not know."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.conftest import REPOSITORY
from tinsmith.hyperparameters import get_lr, lr_for_batch_size


@pytest.mark.parametrize(
    ("model", "rate"),
    [
        ("meta-llama/Llama-3.2-1B", 4.908e-4),
        ("meta-llama/Llama-3.2-3B", 3.576e-4),
        ("meta-llama/Llama-3.1-8B", 2.856e-4),
        ("meta-llama/Llama-3.1-8B-Instruct", 2.856e-4),
        ("meta-llama/Llama-3.3-70B-Instruct", 1.662e-4),
        ("Qwen/Qwen3-4B-Instruct-2507", 4.905e-4),
        ("Qwen/Qwen3.5-4B", 4.905e-4),
        ("Qwen/Qwen3-8B", 4.730e-4),
        ("Qwen/Qwen3-235B-A22B-Instruct-2507", 4.730e-4),
        ("Qwen/Qwen3-32B", 4.649e-4),
        ("Qwen/Qwen3-30B-A3B", 4.991e-4),
        ("Qwen/Qwen3-30B-A3B:peft:32", 4.991e-4),
    ],
)
def test_the_published_rates(model: str, rate: float) -> None:
    assert get_lr(model) == pytest.approx(rate, rel=2e-4)
    assert get_lr(model, is_lora=False) == pytest.approx(rate / 10, rel=2e-4)


def test_a_hidden_size_that_is_given_counts() -> None:
    assert get_lr("acme/our-qwen3", hidden_size=2560) == get_lr("Qwen/Qwen3-4B")
    assert get_lr("Qwen/Qwen3-4B", hidden_size=5120) == get_lr("Qwen/Qwen3-32B")
    assert get_lr("acme/Llama-4-9B", hidden_size=2000) == pytest.approx(5e-4)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"model": "openai/gpt-oss-20b"}, "no learning rate .* 'openai/gpt-oss-20b'.*pass learn"),
        ({"model": "deepseek-ai/DeepSeek-V3.1", "hidden_size": 7168}, "only to Qwen's and Llama's"),
        ({"model": "TinyLlama/TinyLlama-1.1B"}, "no learning rate was fitted"),
        ({"model": "Qwen/Qwen9-1B"}, "hidden size of 'Qwen/Qwen9-1B' is not known.*hidden_size"),
        (
            {"model": "acme/tiny-qwen3", "hidden_size": 64},
            "hidden size of 64, .*pass learning_rate",
        ),
        ({"model": "tinsmith/nano-qwen3", "is_lora": False}, "is not known here"),
    ],
)
def test_what_was_not_fitted_is_refused_by_name(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        get_lr(**given)


def test_what_is_no_model_and_no_size_is_told() -> None:
    with pytest.raises(TypeError, match="model must be text"):
        get_lr(None)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="hidden_size must be a whole number, not text"):
        get_lr("Qwen/Qwen3-4B", hidden_size="2560")  # type: ignore[arg-type]


def test_the_rate_goes_with_the_root_of_the_batch() -> None:
    assert lr_for_batch_size(4e-4, 32) == pytest.approx(2e-4)
    assert lr_for_batch_size(1e-5, 256, fitted_batch_size=64) == pytest.approx(2e-5)
    for given, why in (((0, 8), "above 0"), ((1e-4, 0), "at least 1"), ((1e-4, 8, 0), "at least")):
        with pytest.raises(ValueError, match=why):
            lr_for_batch_size(*given)
    with pytest.raises(ValueError, match="finite"):
        lr_for_batch_size(float("nan"), 8)


def test_the_page_says_what_the_code_does() -> None:
    """Every row of its table is what `get_lr` gives."""
    page = (REPOSITORY / "docs" / "learning_rate.md").read_text()
    rows = re.findall(r"^\| ([\w./-]+) \| (\d+) \| ([\d.e-]+) \|$", page, re.MULTILINE)
    assert len(rows) >= 8
    for model, size, rate in rows:
        assert f"{get_lr(model):.2e}" == f"{get_lr(model, hidden_size=int(size)):.2e}" == rate
