"""AdamW over arena rows: many runs in one call, equal to torch.optim.AdamW on their matrices.

Every row is finite and stays so: a step that would end that is not taken.
"""

from __future__ import annotations

import math

import torch

from gpu_workers.engine import divergence
from gpu_workers.engine.arena import Row
from gpu_workers.engine.types import OptimResult, OptimStep, UserError

_SAFE_NORM = 1e15
"""Gradients up to this have squares, and moments, far from float32's limit."""
_SAFE_WEIGHT = 1e30

Settings = tuple[float, float, float, float, float]
"""Learning rate, beta1, beta2, eps, weight decay."""


def step_rows(items: list[tuple[Row, OptimStep]]) -> list[OptimResult | UserError]:
    """One step for each row with its own settings; gradients are zero afterwards.

    Rows with the same settings share one fused call. A row that the step would leave with numbers
    that are not finite keeps all its numbers, loses the gradient, and gets a UserError.
    """
    results: list[OptimResult | UserError] = []
    batches: dict[Settings, list[Row]] = {}
    for row, step in items:
        norm = float(torch.linalg.vector_norm(row.gradient)) if row.dirty else 0.0
        if not math.isfinite(norm):
            row.clear_gradient()
            results.append(divergence.of_step(step, norm))
            continue
        safe = _cannot_overflow(row, step, norm)
        if 0 < step.grad_clip_norm < norm:
            # The same factor as torch.nn.utils.clip_grad_norm_.
            row.gradient.mul_(min(1.0, step.grad_clip_norm / (norm + 1e-6)))
        settings = (step.learning_rate, step.beta1, step.beta2, step.eps, step.weight_decay)
        if safe:
            batches.setdefault(settings, []).append(row)
        elif not _try(row, settings):
            results.append(divergence.of_step(step, norm))
            continue
        results.append(OptimResult({"unclipped_grad_norm:mean": norm}))
    for settings, rows in batches.items():
        _step(rows, settings)
    return results


def _cannot_overflow(row: Row, step: OptimStep, norm: float) -> bool:
    """Whether bounds alone show that the step leaves all numbers finite, as nearly always.

    Bounds are carried from step to step, and measured when there are none or they have grown.
    """
    if norm > _SAFE_NORM:
        row.bounds = None
        return False
    bounds = _after(row, row.bounds, step, norm) if row.bounds else None
    if bounds is None or not bounds[0] < _SAFE_WEIGHT:
        bounds = _after(row, _measured(row), step, norm)
    row.bounds = bounds if bounds[0] < _SAFE_WEIGHT else None
    return row.bounds is not None


def _measured(row: Row) -> tuple[float, float]:
    """The largest weight and first moment; not a number if any, or a second moment, is none."""
    if not math.isfinite(divergence.peak(row.moment2)):
        return math.nan, math.nan
    return divergence.peak(row.master), divergence.peak(row.moment1)


def _after(
    row: Row, bounds: tuple[float, float], step: OptimStep, norm: float
) -> tuple[float, float]:
    """Bounds of weights and first moments after a step.

    A weight changes by at most lr m / (1 - beta1^t) / eps; first moments are at most the largest
    of the old ones and the gradient, second ones of the old ones and its square.
    """
    weight, moment = bounds[0], max(bounds[1], norm)
    correction = 1 - step.beta1 ** (row.steps + 1)
    decay = 1 + step.learning_rate * step.weight_decay
    return weight * decay + step.learning_rate * moment / correction / step.eps, moment


def _try(row: Row, settings: Settings) -> bool:
    """Step one row; False if that gave numbers that are not finite, and all is as it was."""
    before = row.snapshot(moments=True, gradient=False)
    _step([row], settings)
    highest = torch.finfo(torch.float32 if row.shadow is None else row.shadow.dtype).max
    moments = max(divergence.peak(row.moment1), divergence.peak(row.moment2))
    if row.peak() <= highest and math.isfinite(moments):
        return True
    row.restore(before)
    return False


def _step(rows: list[Row], settings: Settings) -> None:
    """AdamW on rows with the same settings, in place; their gradients are zero afterwards."""
    lr, beta1, beta2, eps, weight_decay = settings
    device = rows[0].state.device
    for row in rows:
        row.steps += 1
    torch._fused_adamw_(
        [row.master for row in rows],
        [row.gradient for row in rows],
        [row.moment1 for row in rows],
        [row.moment2 for row in rows],
        [],
        [torch.tensor(float(row.steps), device=device) for row in rows],
        lr=lr,
        beta1=beta1,
        beta2=beta2,
        weight_decay=weight_decay,
        eps=eps,
        amsgrad=False,
        maximize=False,
    )
    for row in rows:
        row.clear_gradient()
        row.refresh()
