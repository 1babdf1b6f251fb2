"""Our norm against transformers' own."""

from __future__ import annotations

import pytest
import torch
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.families.shrink import random_model
from gpu_workers.engine.norm import REPLACED, RmsNorm
from tests.gpu_workers.engine.cases import CASES, tiny_config


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(1, 9, 48), (2, 5, 4, 16)])
def test_the_norm_equals_transformers_forward_and_backward(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    theirs = LlamaRMSNorm(shape[-1], eps=1e-5).to(dtype)
    torch.nn.init.normal_(theirs.weight)
    theirs.requires_grad_(False)
    ours = RmsNorm(theirs.weight, theirs.variance_epsilon)
    slopes = torch.randn(shape).to(dtype)
    tolerance = 1e-6 if dtype == torch.float32 else 0.04
    found = []
    for norm in (theirs, ours):
        x = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
        x.requires_grad_()
        y = norm(x)
        y.backward(slopes)
        assert x.grad is not None
        assert y.dtype == x.grad.dtype == dtype
        with torch.no_grad():
            assert torch.equal(norm(x), y)
        found.append((y.detach(), x.grad))
    torch.testing.assert_close(found[1][0], found[0][0], atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(found[1][1], found[0][1], atol=tolerance, rtol=tolerance)


def test_a_loaded_model_uses_it_everywhere(base: BaseModel, family: str) -> None:
    kinds = [type(module).__name__ for module in base.model.modules()]
    assert not set(kinds) & set(REPLACED)
    assert kinds.count("RmsNorm") == {"qwen3": 9, "llama": 5}[family]


def test_every_norm_that_is_replaced_is_the_same_norm() -> None:
    """Bit for bit in float32 and bfloat16, in every family on offer that has such."""
    seen = set()
    for case in CASES:
        for module in random_model(tiny_config(case)).modules():
            name = type(module).__name__
            if name not in REPLACED or name in seen:
                continue
            seen.add(name)
            for dtype in (torch.float32, torch.bfloat16):
                theirs = module.to(dtype)
                ours = RmsNorm(theirs.weight, theirs.variance_epsilon)
                x = torch.randn(9, len(theirs.weight)).to(dtype) * 3
                tolerance = 1e-6 if dtype == torch.float32 else 0
                with torch.no_grad():
                    torch.testing.assert_close(ours(x), theirs(x), atol=tolerance, rtol=tolerance)
    assert seen == set(REPLACED)
