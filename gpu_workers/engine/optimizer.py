"""AdamW over arena rows: many runs in one call, equal to torch.optim.AdamW on their matrices."""

from __future__ import annotations

import torch

from gpu_workers.engine.arena import Row
from gpu_workers.engine.types import OptimResult, OptimStep, UserError


def step_rows(items: list[tuple[Row, OptimStep]]) -> list[OptimResult | UserError]:
    """One step for each row with its own settings; gradients are zero afterwards.

    Rows with the same settings share one fused call. A row whose gradient is not finite keeps its
    weights, loses the gradient, and gets a UserError.
    """
    results: list[OptimResult | UserError] = []
    batches: dict[tuple[float, ...], list[Row]] = {}
    for row, step in items:
        norm = float(torch.linalg.vector_norm(row.gradient)) if row.dirty else 0.0
        if not norm < float("inf"):
            row.clear_gradient()
            results.append(UserError("The gradient is not finite; it was dropped."))
            continue
        if 0 < step.grad_clip_norm < norm:
            # The same factor as torch.nn.utils.clip_grad_norm_.
            row.gradient.mul_(min(1.0, step.grad_clip_norm / (norm + 1e-6)))
        row.steps += 1
        key = (step.learning_rate, step.beta1, step.beta2, step.eps, step.weight_decay)
        batches.setdefault(key, []).append(row)
        results.append(OptimResult({"unclipped_grad_norm:mean": norm}))
    for (lr, beta1, beta2, eps, weight_decay), rows in batches.items():
        device = rows[0].state.device
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
    return results
