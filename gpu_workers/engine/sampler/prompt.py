"""Logprobs of a prompt's tokens, without ever holding logits for all of it."""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora.context import Adapter, Segment
from gpu_workers.engine.sampler.lora import MIN_ROWS, logits

_LOGITS_BYTES = 32 * 2**20


def target_logprobs(
    base: BaseModel, hidden: Tensor, targets: Tensor, adapter: Adapter | None
) -> Tensor:
    """float32 [N]: logprob of each of `targets` [N], given the hidden state [N, d] before it.

    The model's own distribution: temperature and filters play no part.
    """
    count = targets.shape[0]
    if count < MIN_ROWS:
        hidden = torch.cat([hidden, hidden.new_zeros(MIN_ROWS - count, hidden.shape[1])])
    step = max(MIN_ROWS, _LOGITS_BYTES // (4 * base.info.vocab_size))
    out = torch.empty(count, dtype=torch.float32, device=hidden.device)
    for start in range(0, count, step):
        end = min(start + step, count)
        low = max(0, min(start, hidden.shape[0] - MIN_ROWS))
        rows = hidden[low : max(end, low + MIN_ROWS)]
        block = logits(base, rows, [Segment(adapter, 0, rows.shape[0])])
        block = block[start - low : end - low]
        chosen = block.gather(1, targets[start:end, None])[:, 0]
        out[start:end] = chosen - block.logsumexp(-1)
    return out
