"""Losses written by the user in torch, run on the user's machine.

The server gives the log-probabilities of a forward pass, the user's function makes a loss of them,
and its gradient goes back as the weights of a cross-entropy: d(sum(-w * p))/dp = -w, so w = -dC/dp.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from tinsmith.types.datum import Datum
from tinsmith.types.results import ForwardBackwardOutput
from tinsmith.types.tensor import TensorData

SERVER_LOSS = "cross_entropy"

CustomLossFn = Callable[[list[Datum], list[Any]], tuple[Any, Mapping[str, float]]]
"""``(data, logprobs)`` to ``(loss, metrics)``: torch tensors [N] or [N, K] in, a scalar out."""


def forward_data(data: Sequence[Datum]) -> list[Datum]:
    """What the forward pass needs of each datum; raises ValueError without target_tokens."""
    reduced = []
    for index, datum in enumerate(data):
        targets = datum.loss_fn_inputs.get("target_tokens")
        if targets is None:
            raise ValueError(f"datum {index} has no loss_fn_inputs['target_tokens']")
        weights = datum.loss_fn_inputs.get("weights")
        if weights is None:
            weights = TensorData(np.zeros(tuple(targets.shape or ())), "float32")
        inputs = {"target_tokens": targets, "weights": weights}
        reduced.append(replace(datum, loss_fn_inputs=inputs))
    return reduced


def differentiate(
    loss_fn: CustomLossFn, data: Sequence[Datum], forward: ForwardBackwardOutput
) -> tuple[list[Datum], dict[str, float]]:
    """The data of the backward pass, and the user's metrics with ``loss:sum``.

    Raises:
        ValueError: a loss that is no scalar, or does not depend on the log-probabilities.
        Whatever the user's function raises.
    """
    import torch

    logprobs = [
        output["logprobs"].to_torch().requires_grad_(True) for output in forward.loss_fn_outputs
    ]
    with torch.enable_grad():
        loss, metrics = loss_fn(list(data), logprobs)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            raise ValueError("a custom loss must return (a scalar tensor, a dict of metrics)")
        if not loss.requires_grad:
            raise ValueError("the custom loss does not depend on the log-probabilities")
        gradients = torch.autograd.grad(loss.sum(), logprobs, allow_unused=True)
    backward = []
    for datum, logprob, gradient in zip(data, logprobs, gradients, strict=True):
        # A datum the loss does not look at has no gradient, which is a gradient of zero
        weights = torch.zeros_like(logprob) if gradient is None else -gradient
        inputs = {
            "target_tokens": datum.loss_fn_inputs["target_tokens"],
            "weights": TensorData.from_torch(weights),
        }
        backward.append(replace(datum, loss_fn_inputs=inputs))
    numbers = {name: float(value) for name, value in metrics.items()}
    return backward, {**numbers, "loss:sum": float(loss.detach())}


def result(backward: ForwardBackwardOutput, metrics: Mapping[str, float]) -> ForwardBackwardOutput:
    """The backward pass's result with the user's metrics; the server's loss is the surrogate."""
    merged = dict(backward.metrics)
    surrogate = merged.pop("loss:sum", None)
    merged.update(metrics)
    if surrogate is not None:
        merged["surrogate_loss:sum"] = surrogate
    return replace(backward, metrics=merged)
