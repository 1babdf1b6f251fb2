"""Attention as the engine uses it: registered once with transformers, decided by the pass.

The model is switched to the implementation named ATTENTION. It does nothing itself: it calls the
`attention` function of the module's PassContext, so that trainer (packed sequences, below) and
sampler (KV cache, its own file) share one model without switching configurations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

from gpu_workers.engine.lora.context import PassContext

ATTENTION = "tinsmith"

_WITHOUT_EFFECT = {"position_ids", "use_cache"}
"""What layers hand on that attention itself has no use for. All else would change its numbers."""


def _dispatch(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """transformers' attention signature; models are in evaluation mode, where dropout is 0."""
    unknown = {name for name, value in kwargs.items() if value is not None} - _WITHOUT_EFFECT
    if unknown:
        raise ValueError(f"its attention has {', '.join(sorted(unknown))}, which is not supported")
    context: PassContext = module.pass_context
    if context.attention is None:
        raise RuntimeError("the model was called outside a pass")
    out = context.attention(module, query, key, value, scaling, sliding_window)
    return out, None


AttentionInterface.register(ATTENTION, _dispatch)
AttentionMaskInterface.register(ATTENTION, lambda *args, **kwargs: None)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    sliding_window: int | None,
) -> Tensor:
    """Causal attention within each sequence of the pass: query [1,H,T,D] -> [1,T,H,D]."""
    context: PassContext = module.pass_context
    if query.is_cuda and query.dtype != torch.float32:
        return _varlen(context, query, key, value, scaling, sliding_window)
    dtype = query.dtype
    if dtype != torch.float32:  # on CPU, that is
        # The CPU's bf16 kernel is three times slower backward than conversion and float32 together.
        query, key, value = query.float(), key.float(), value.float()
    sizes = [count * length for count, length in context.lengths]
    outs = [
        _causal(count, length, q, k, v, scaling, sliding_window)
        for (count, length), q, k, v in zip(
            context.lengths, query.split(sizes, 2), key.split(sizes, 2), value.split(sizes, 2),
            strict=True,
        )
    ]  # fmt: skip
    return (outs[0] if len(outs) == 1 else torch.cat(outs, 1)).to(dtype)


def _causal(
    count: int,
    length: int,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """`count` sequences of one length in one call: query [1,H,count*length,D] -> [1,…,H,D].

    The CPU kernel treats every (sequence, head) alone, so batching changes no bit.
    """
    if count > 1:
        query, key, value = (
            t.unflatten(2, (count, length)).squeeze(0).transpose(0, 1) for t in (query, key, value)
        )
    mask = None
    if window is not None and length > window:
        places = torch.arange(length, device=query.device)
        distance = places.unsqueeze(1) - places
        mask = (distance >= 0) & (distance < window)
    out = F.scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=mask is None, scale=scaling, enable_gqa=True
    ).transpose(1, 2)
    return out.flatten(0, 1).unsqueeze(0) if count > 1 else out


def _varlen(
    context: PassContext,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """FlashAttention over cu_seqlens: one call for all sequences (bf16, CUDA)."""
    from torch.nn.attention.varlen import varlen_attn  # CUDA only; kept off the CPU's import path

    if context.cu_seqlens is None:
        ends = [0]
        for count, length in context.lengths:
            ends += [ends[-1] + length * (i + 1) for i in range(count)]
        context.cu_seqlens = torch.tensor(ends, dtype=torch.int32, device=query.device)
        context.max_length = max(length for _, length in context.lengths)
    out = varlen_attn(
        query[0].transpose(0, 1),
        key[0].transpose(0, 1),
        value[0].transpose(0, 1),
        context.cu_seqlens,
        context.cu_seqlens,
        context.max_length,
        context.max_length,
        scale=scaling,
        window_size=(-1, 0) if window is None else (window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    return out.unsqueeze(0)
