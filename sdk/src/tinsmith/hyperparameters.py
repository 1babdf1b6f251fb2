"""Learning rates to begin with, and what they hold for.

>>> f"{get_lr('Qwen/Qwen3-8B'):.2e}"
'4.73e-04'
>>> f"{get_lr('Qwen/Qwen3-8B', is_lora=False):.2e}"
'4.73e-05'

Losses are sums over tokens. Adam divides a gradient by its size, so a rate does not change with
the number of tokens in a batch; how far it may go is a matter of the noise, hence of the batch.
"""

from __future__ import annotations

import math
import re

from tinsmith._words.mistakes import check_text, number, whole

FITTED_BATCH_SIZE = 128
"""Sequences in a step where ``get_lr`` was fitted."""
LORA_FACTOR = 10.0
"""How many times the rate of full fine-tuning an adapter takes, whatever its rank."""

_BASE = 5e-5
_BASE_HIDDEN_SIZE = 2000
_POWER = {"qwen": 0.0775, "llama": 0.781}
# Far below what the formula was fitted to, where it is off by an order of magnitude
_SMALLEST_HIDDEN_SIZE = 512
# Of a model's name without its owner, in lower case; the first that is found counts
_HIDDEN_SIZES = (
    (r"llama-3\.2-1b", 2048),
    (r"llama-3\.2-3b", 3072),
    (r"llama-3(\.1)?-8b", 4096),
    (r"llama-3(\.[13])?-70b", 8192),
    (r"llama-3\.1-405b", 16384),
    (r"qwen3-0\.6b", 1024),
    (r"qwen3-1\.7b", 2048),
    (r"qwen3(\.5)?-4b", 2560),
    (r"qwen3-8b", 4096),
    (r"qwen3-(14|32)b", 5120),
    (r"qwen3-30b-a3b", 2048),
    (r"qwen3-235b-a22b", 4096),
    (r"qwen2\.5-0\.5b", 896),
    (r"qwen2\.5-1\.5b", 1536),
    (r"qwen2\.5-3b", 2048),
    (r"qwen2\.5-7b", 3584),
    (r"qwen2\.5-(14|32)b", 5120),
    (r"qwen2\.5-72b", 8192),
)
# Found by trying; the formula knows nothing of models of a million weights
_TRIED = {"nano-qwen3": 5e-3, "nano-llama3": 5e-3}


def get_lr(model: str, is_lora: bool = True, hidden_size: int | None = None) -> float:
    """A learning rate for supervised fine-tuning with Adam: 5e-5 · 10 · (2000 / H) ** P.

    P is 0.0775 for Qwen and 0.781 for Llama; the factor of 10 is LoRA's. Fitted to supervised
    fine-tuning on chats of models of 1B and more, batches of 128 sequences, 780 steps with linear
    decay, summed losses, Adam with betas 0.9 and 0.95: see ``lr_for_batch_size`` for other batches.
    RL wants less: 1e-5 to 1e-4. A rate is where to begin; 3e-3 is too much for nearly every model.

    Args:
        model: a base model's name.
        is_lora: whether an adapter is trained, or all weights.
        hidden_size: H, the model's ``hidden_size``, as ``get_server_capabilities`` tells it;
            otherwise from a table of names.

    Raises:
        ValueError: a family to which nothing was fitted, or an H that is neither given nor known;
            the text says what to do.
    """
    check_text("model", model, "a base model's name")
    short = _short(model)
    if short in _TRIED and is_lora:
        return _TRIED[short]
    family = re.search(r"(?<![a-z])(qwen|llama)(?![a-z])", short)
    if family is None:
        raise ValueError(
            f"no learning rate was fitted to the family of {model!r}, only to Qwen's and Llama's: "
            "pass learning_rate; 1e-4 to 5e-4 are good ones to try with LoRA"
        )
    size = _hidden_size(model) if hidden_size is None else whole("hidden_size", hidden_size)
    if size < _SMALLEST_HIDDEN_SIZE:
        raise ValueError(
            f"{model!r} has a hidden size of {size}, and the learning rate was fitted to sizes "
            f"from {_SMALLEST_HIDDEN_SIZE}: pass learning_rate"
        )
    scale: float = (_BASE_HIDDEN_SIZE / size) ** _POWER[family[1]]
    return _BASE * (LORA_FACTOR if is_lora else 1.0) * scale


def lr_for_batch_size(
    learning_rate: float, batch_size: int, fitted_batch_size: int = FITTED_BATCH_SIZE
) -> float:
    """The rate for another batch size: it goes with the square root of it.

    Args:
        learning_rate: that is right at `fitted_batch_size`.
        batch_size: sequences in a step; of RL, groups times the size of a group.
        fitted_batch_size: where `learning_rate` was found; ``get_lr``'s unless it is said.

    Holds while noise is what bounds the rate: from a fourth of the fitted size to four times it.
    Far above that a larger batch allows no larger rate.

    Raises:
        ValueError: a size below one, or a rate that is none.
    """
    rate = number("learning_rate", learning_rate)
    if rate <= 0:
        raise ValueError(f"learning_rate must be above 0, not {rate}")
    sizes = [
        whole(name, size)
        for name, size in (("batch_size", batch_size), ("fitted_batch_size", fitted_batch_size))
    ]
    if min(sizes) < 1:
        raise ValueError(f"batch_size and fitted_batch_size must be at least 1, not {min(sizes)}")
    return rate * math.sqrt(sizes[0] / sizes[1])


def _hidden_size(model: str) -> int:
    short = _short(model)
    for pattern, size in _HIDDEN_SIZES:
        if re.search(rf"{pattern}(?![a-z\d])", short):
            return size
    raise ValueError(
        f"the hidden size of {model!r} is not known here: pass hidden_size, which its config.json "
        "and get_server_capabilities tell, or learning_rate"
    )


def _short(model: str) -> str:
    """A model's name without its owner, in lower case."""
    return model.partition(":")[0].rpartition("/")[2].lower()
