"""What a prompt's tokens, and others in their places, are worth: never with logits for all of it.

The prompt is prefilled in chunks, each chunk's hidden states go through the head in blocks of rows,
and everything that is wanted of a block is read off before the next. Temperature and filters play
no part, except that alternative tokens are drawn at the request's temperature.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora.context import Adapter, Segment
from gpu_workers.engine.sampler.choose import inverse_cdf
from gpu_workers.engine.sampler.lora import MIN_ROWS, logits
from gpu_workers.engine.sampler.randomness import stream_key, uniforms
from gpu_workers.engine.sampler.validate import GREEDY_BELOW
from gpu_workers.engine.types import Float32Array, Sample, SampleResult, TopLogprobs

_LOGITS_BYTES = 32 * 2**20
# streams of random numbers beyond those that samples use
_FIRST_ALTERNATIVE = 2**32


class PromptScores:
    """What one request wants to know of its prompt, filled in chunk by chunk.

    Row i of the prompt is its i-th token; the hidden state there says what token i + 1 is worth.
    """

    def __init__(self, work: Sample) -> None:
        self._work = work
        length = len(work.prompt)
        last = length - 1 if work.prompt_logprobs_last_n is None else work.prompt_logprobs_last_n
        own = work.prompt_logprobs or work.topk_prompt_logprobs > 0
        self._first_own = length - 1 - last if own else length
        targets, k = work.prompt_targets, work.prompt_alt_tokens_k
        self.first_row = self._first_own
        if targets is not None:
            wanted = targets.rows[targets.tokens >= 0]
            self.first_row = min([self.first_row, *wanted[:1].tolist()])
        if k:
            self.first_row = 0
        self._keys = [stream_key(work.seed, _FIRST_ALTERNATIVE + j) for j in range(k)]
        self.logprobs: Float32Array | None = None
        if work.prompt_logprobs:
            self.logprobs = np.full(length, np.nan, np.float32)
        self.top = (
            TopLogprobs.empty(length, work.topk_prompt_logprobs)
            if work.topk_prompt_logprobs
            else None
        )
        self.targets = None if targets is None else np.zeros(len(targets.tokens), np.float32)
        self.alt_tokens = np.zeros((length - 1, k), np.int64) if k else None
        self.alt_logprobs = np.zeros((length - 1, k), np.float32) if k else None

    @classmethod
    def of(cls, work: Sample) -> PromptScores | None:
        """Scores for `work`, if it asks for any."""
        asks = (
            work.prompt_logprobs
            or work.topk_prompt_logprobs
            or work.prompt_targets is not None
            or work.prompt_alt_tokens_k
        )
        return cls(work) if asks else None

    def add(
        self, base: BaseModel, hidden: Tensor, start: int, end: int, adapter: Adapter | None
    ) -> None:
        """Read off rows [start, end) of the prompt; `hidden` begins with theirs."""
        end = min(end, len(self._work.prompt) - 1)
        first = max(start, self.first_row)
        if first >= end:
            return
        for low, high, block in _blocks(base, hidden[first - start : end - start], adapter):
            self._block(first + low, first + high, block)

    def write(self, result: SampleResult) -> None:
        """Put everything into the request's result."""
        result.prompt_logprobs = self.logprobs
        result.top_prompt = self.top
        result.target_logprobs = self.targets
        result.alt_tokens, result.alt_logprobs = self.alt_tokens, self.alt_logprobs

    def _block(self, start: int, end: int, block: Tensor) -> None:
        """`block` float32 [end - start, V]: the logits of these rows."""
        total = block.logsumexp(-1)
        own = max(start, self._first_own)
        if own < end:
            self._own(own, end, block[own - start :], total[own - start :])
        if self.targets is not None:
            self._targets(start, end, block, total)
        if self.alt_tokens is not None:
            self._alternatives(start, end, block, total)

    def _own(self, start: int, end: int, block: Tensor, total: Tensor) -> None:
        if self.logprobs is not None:
            tokens = torch.tensor(self._work.prompt[start + 1 : end + 1], device=block.device)
            chosen = block.gather(1, tokens[:, None])[:, 0]
            self.logprobs[start + 1 : end + 1] = (chosen - total).cpu().numpy()
        if self.top is not None:
            values, tokens = block.topk(self.top.tokens.shape[1], -1)
            self.top.tokens[start + 1 : end + 1] = tokens.cpu().numpy()
            self.top.logprobs[start + 1 : end + 1] = (values - total[:, None]).cpu().numpy()

    def _targets(self, start: int, end: int, block: Tensor, total: Tensor) -> None:
        targets = self._work.prompt_targets
        assert targets is not None
        assert self.targets is not None
        low, high = np.searchsorted(targets.rows, [start, end])
        cells = low + np.flatnonzero(targets.tokens[low:high] >= 0)
        rows = torch.from_numpy(targets.rows[cells] - start).to(block.device)
        tokens = torch.from_numpy(targets.tokens[cells]).to(block.device)
        self.targets[cells] = (block[rows, tokens] - total[rows]).cpu().numpy()

    def _alternatives(self, start: int, end: int, block: Tensor, total: Tensor) -> None:
        assert self.alt_tokens is not None
        assert self.alt_logprobs is not None
        temperature = self._work.temperature
        cold = temperature < GREEDY_BELOW
        probabilities = None if cold else F.softmax(block / temperature, -1)
        places = np.arange(start, end, dtype=np.uint64)
        for j, key in enumerate(self._keys):
            if probabilities is None:
                tokens = block.argmax(-1)
            else:
                drawn = uniforms(np.full_like(places, key), places)
                tokens = inverse_cdf(probabilities, torch.from_numpy(drawn).to(block.device))
            chosen = block.gather(1, tokens[:, None])[:, 0] - total
            self.alt_tokens[start:end, j] = tokens.cpu().numpy()
            self.alt_logprobs[start:end, j] = chosen.cpu().numpy()


def _blocks(
    base: BaseModel, hidden: Tensor, adapter: Adapter | None
) -> Iterator[tuple[int, int, Tensor]]:
    """(start, end, logits float32 [end - start, V]) of hidden states [N, d], block by block."""
    count = hidden.shape[0]
    if count < MIN_ROWS:
        hidden = torch.cat([hidden, hidden.new_zeros(MIN_ROWS - count, hidden.shape[1])])
    step = max(MIN_ROWS, _LOGITS_BYTES // (4 * base.info.vocab_size))
    for start in range(0, count, step):
        end = min(start + step, count)
        low = max(0, min(start, hidden.shape[0] - MIN_ROWS))
        rows = hidden[low : max(end, low + MIN_ROWS)]
        block = logits(base, rows, [Segment(adapter, 0, rows.shape[0])])
        yield start, end, block[start - low : end - low]
