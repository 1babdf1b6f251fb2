"""The fused head against log_softmax and autograd."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from gpu_workers.engine.arena import Arena, Row
from gpu_workers.engine.base import ModuleInfo
from gpu_workers.engine.head import FusedHead, Part
from gpu_workers.engine.losses import Coefficients
from gpu_workers.engine.types import AdapterSpec

WIDTH, VOCABULARY, ROWS = 24, 75, 96


def a_row(seed: int, unembed: bool) -> Row:
    modules = [ModuleInfo("x", "mlp", 8, 8), ModuleInfo("lm_head", "unembed", WIDTH, VOCABULARY)]
    arena = Arena(modules, 9, 10**9, torch.device("cpu"), torch.float32)
    row = arena.acquire(AdapterSpec(3, seed, train_unembed=unembed))
    row.master.normal_(std=0.1, generator=torch.Generator().manual_seed(seed))
    return row


def reference(h: Tensor, weight: Tensor, parts: list[Part], coefficients: list[Tensor]) -> Tensor:
    """Logprobs by log_softmax; backward of the sum of coefficient times logprob."""
    total = torch.zeros(())
    for part, g in zip(parts, coefficients, strict=True):
        x = h[part.start : part.end]
        logits = x @ weight.t()
        view = part.adapter.weights[1] if part.adapter is not None else None
        if view is not None:
            a, b, scale = view
            logits = logits + scale * (x @ a.t()) @ b.t()
        targets = part.targets if part.targets.dim() == 2 else part.targets.unsqueeze(-1)
        p = logits.log_softmax(-1).gather(-1, targets).view(part.targets.shape)
        torch.testing.assert_close(part.logprobs, p.detach(), atol=2e-6, rtol=1e-5)
        torch.testing.assert_close(
            part.terms, (g * p).detach().reshape(len(x), -1).sum(-1), atol=1e-4, rtol=1e-4
        )
        total = total + (g * p).sum()
    total.backward()
    return total


def linear_loss(g: Tensor, p: Tensor, rows: slice) -> Coefficients:
    """Coefficients that are known beforehand."""
    return g[rows], g[rows] * p


@pytest.mark.parametrize("block_rows", [32, 64, 256])
def test_logprobs_and_gradients_equal_log_softmax(block_rows: int) -> None:
    """Plain and wide targets, LoRA on the head or not, parts smaller and larger than a block."""
    torch.manual_seed(0)
    weight = torch.randn(VOCABULARY, WIDTH) / 3
    h = torch.randn(ROWS, WIDTH)
    parts, coefficients = [], []
    for start, end, width, unembed in ((0, 5, 0, True), (5, 6, 3, True), (6, 83, 0, True),
                                       (83, 90, 2, False)):  # fmt: skip
        shape = (end - start, width) if width else (end - start,)
        g = torch.randn(shape)
        targets = torch.randint(VOCABULARY, shape)
        row = a_row(start, unembed)
        parts.append(Part(start, end, row, targets, loss=partial(linear_loss, g)))
        coefficients.append(g)
    head = FusedHead(weight, 1, row_multiple=32)
    head.block_rows = block_rows
    dh = head.run(h, parts, gradient=True)
    leaf = h.clone().requires_grad_()
    leaves: list[tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]] = []
    for part in parts:
        assert part.adapter is not None
        assert part.adapter.grads is not None
        view, grads = part.adapter.weights[1], part.adapter.grads[1]
        if view is not None and grads is not None:
            a, b = (t.clone().requires_grad_() for t in view[:2])
            part.adapter.weights[1] = (a, b, view[2])
            leaves.append((grads, (a, b)))
    reference(leaf, weight, parts, coefficients)
    torch.testing.assert_close(dh, leaf.grad, atol=1e-5, rtol=1e-5)
    assert len(leaves) == 3
    for found, expected in leaves:
        for mine, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(mine, theirs.grad, atol=1e-4, rtol=1e-5)


def test_the_whole_batchs_logits_are_never_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """No product of the head has more rows than a block."""
    rows: list[int] = []
    mm = torch.mm

    def watched(a: Tensor, b: Tensor) -> Tensor:
        rows.append(len(a))
        return mm(a, b)

    monkeypatch.setattr(torch, "mm", watched)
    head = FusedHead(torch.randn(VOCABULARY, WIDTH), 1, row_multiple=32)
    head.block_rows = 64
    g = torch.ones(1000)
    part = Part(0, 1000, None, torch.zeros(1000, dtype=torch.int64), weights=g)
    head.run(torch.randn(1024, WIDTH), [part], gradient=True)
    assert len(rows) >= 2 * 1000 / 64
    assert max(rows) <= 64


def test_a_row_that_is_not_finite_spoils_no_other() -> None:
    torch.manual_seed(0)
    weight, h = torch.randn(VOCABULARY, WIDTH), torch.randn(32, WIDTH)
    targets = torch.randint(VOCABULARY, (16,))

    def run(hidden: Tensor) -> tuple[Part, Part, Tensor, Row]:
        row = a_row(1, True)
        first = Part(0, 16, row, targets, weights=torch.ones(16))
        second = Part(16, 32, a_row(2, True), targets, weights=torch.ones(16))
        dh = FusedHead(weight, 1, 32).run(hidden, [first, second], gradient=True)
        assert dh is not None
        return first, second, dh, row

    bad = h.clone()
    bad[20] = float("nan")
    good_first, _, good_dh, good_row = run(h)
    first, second, dh, row = run(bad)
    assert torch.isnan(second.terms[4])
    assert torch.equal(first.logprobs, good_first.logprobs)
    assert torch.equal(dh[:20], good_dh[:20])
    assert torch.equal(dh[21:], good_dh[21:])
    assert torch.equal(row.gradient, good_row.gradient)
