"""From logits to tokens: temperature, top-k, top-p, one draw a row, and the logprob of the draw.

Every row is computed from its own numbers alone, so neighbours do not matter.

The logprob is the token's log-probability under the distribution it was drawn from: scaled by the
temperature and renormalised over what top-k and top-p keep (vLLM's `processed_logprobs`), because
that is what an importance ratio must divide by. Greedy rows have no such distribution; they report
the model's own (temperature 1, unfiltered). At temperature 1 without filters both are the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F

from gpu_workers.engine.sampler.validate import GREEDY_BELOW
from gpu_workers.engine.types import Sample

Top = tuple[np.ndarray, np.ndarray]
"""The likeliest tokens of a row, int64 [k], and their logprobs, float32 [k]; likeliest first."""

_ONE_BLOCK = 512
_BLOCK = 128


@dataclass(slots=True)
class Controls:
    """The sampling parameters of a batch as tensors; None where no row needs that step."""

    temperature: torch.Tensor | None  # float32 [rows, 1]; 1 for greedy rows
    greedy: torch.Tensor | None  # bool [rows], when some but not all rows are greedy
    all_greedy: bool
    filtered: torch.Tensor | None  # int64 [m]: the rows with top-k or top-p
    top_k: torch.Tensor | None  # int64 [m], vocabulary size where off
    largest_k: int
    top_p: torch.Tensor | None  # float64 [m, 1], when any of them has top-p
    shown: dict[int, int] = field(default_factory=dict)  # row -> how many of its likeliest to show

    @classmethod
    def of(cls, works: Sequence[Sample], vocab_size: int, device: torch.device) -> Controls:
        """Gather the parameters of the given rows."""
        greedy = [work.temperature < GREEDY_BELOW for work in works]
        temperature = [
            1.0 if cold else work.temperature for work, cold in zip(works, greedy, strict=True)
        ]
        ks = [min(work.top_k, vocab_size) if work.top_k > 0 else vocab_size for work in works]
        rows = [
            row
            for row, work in enumerate(works)
            if not greedy[row] and (ks[row] < vocab_size or work.top_p < 1)
        ]
        nucleus = any(works[row].top_p < 1 for row in rows)

        def tensor(values: list, dtype: torch.dtype) -> torch.Tensor:
            return torch.tensor(values, dtype=dtype, device=device)

        return cls(
            temperature=None
            if all(value == 1.0 for value in temperature)
            else tensor(temperature, torch.float32)[:, None],
            greedy=tensor(greedy, torch.bool) if any(greedy) and not all(greedy) else None,
            all_greedy=all(greedy),
            filtered=tensor(rows, torch.int64) if rows else None,
            top_k=tensor([ks[row] for row in rows], torch.int64) if rows else None,
            largest_k=max((ks[row] for row in rows), default=0),
            top_p=tensor([works[row].top_p for row in rows], torch.float64)[:, None]
            if nucleus
            else None,
            shown={
                row: min(work.topk_sample_logprobs, vocab_size)
                for row, work in enumerate(works)
                if work.topk_sample_logprobs
            },
        )


def choose(
    logits: torch.Tensor, controls: Controls, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one token a row: tokens int64 [rows] and their logprobs float32 [rows]."""
    return choose_and_show(logits, controls, uniform)[:2]


def choose_and_show(
    logits: torch.Tensor, controls: Controls, uniform: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, dict[int, Top]]:
    """Draw one token a row; also the likeliest tokens of the rows that show them.

    Tokens are int64 [rows], their logprobs float32 [rows].

    `logits` is float32 [rows, vocabulary], `uniform` float64 [rows] in [0, 1). A row of numbers
    that are not finite gives some token and a logprob that is not finite.
    """
    if controls.temperature is not None:
        logits = logits / controls.temperature
    if controls.filtered is not None:
        logits = logits.index_copy(
            0, controls.filtered, _filter(logits[controls.filtered], controls)
        )
    logprobs = F.log_softmax(logits, -1)
    if controls.all_greedy:
        tokens = logits.argmax(-1)
    else:
        # Softmax works row by row; exp would treat the batch's last numbers in another way.
        tokens = inverse_cdf(F.softmax(logits, -1), uniform)
        if controls.greedy is not None:
            tokens = torch.where(controls.greedy, logits.argmax(-1), tokens)
    return tokens, logprobs.gather(1, tokens[:, None])[:, 0], _shown(logprobs, controls.shown)


def _shown(logprobs: torch.Tensor, shown: dict[int, int]) -> dict[int, Top]:
    """The likeliest tokens of some rows; what the filters dropped is not among them."""
    tops: dict[int, Top] = {}
    if shown:
        rows = torch.tensor(list(shown), device=logprobs.device)
        values, tokens = logprobs[rows].topk(max(shown.values()), -1)
        ids, numbers = tokens.cpu().numpy(), values.cpu().numpy()
        for place, (row, k) in enumerate(shown.items()):
            kept = int(np.isfinite(numbers[place, :k]).sum())
            tops[row] = ids[place, :kept], numbers[place, :kept]
    return tops


def _filter(logits: torch.Tensor, controls: Controls) -> torch.Tensor:
    """Put -inf where top-k, then top-p, drop a token. Tokens equal to the last one kept are kept.

    Only values are sorted, never ids, so that ties fall the same way whatever the batch holds.
    """
    assert controls.top_k is not None
    minus_infinity = float("-inf")
    if controls.top_p is None:
        ordered = logits.topk(controls.largest_k, -1).values
    else:
        ordered = logits.sort(-1, descending=True).values
    threshold = ordered.gather(1, controls.top_k[:, None] - 1)
    if controls.top_p is not None:
        ordered = ordered.masked_fill(ordered < threshold, minus_infinity)
        probabilities = F.softmax(ordered, -1).double()
        mass_before = probabilities.cumsum(-1) - probabilities
        kept = (mass_before < controls.top_p).sum(-1, keepdim=True).clamp_(min=1)
        threshold = torch.maximum(threshold, ordered.gather(1, kept - 1))
    return logits.masked_fill(logits < threshold, minus_infinity)


def inverse_cdf(probabilities: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """The token int64 [rows] at which each row's cumulated probability passes its uniform number.

    Sums are in double, and large vocabularies are searched in two levels, so that the far tail of a
    large vocabulary is drawn as often as it should. Never draws a token of probability 0.
    """
    rows, vocabulary = probabilities.shape
    if vocabulary <= _ONE_BLOCK:
        return _first_above(probabilities.double().cumsum(-1), uniform, relative=True)
    blocks = -(-vocabulary // _BLOCK)
    if vocabulary % _BLOCK:
        probabilities = F.pad(probabilities, (0, blocks * _BLOCK - vocabulary))
    blocked = probabilities.view(rows, blocks, _BLOCK)
    mass = blocked.sum(-1, dtype=torch.float64)
    cumulated = mass.cumsum(-1)
    block = _first_above(cumulated, uniform, relative=True)
    before = (cumulated - mass).gather(1, block[:, None])[:, 0]
    inside = blocked[torch.arange(rows, device=block.device), block].double().cumsum(-1)
    rest = uniform * cumulated[:, -1] - before
    token = block * _BLOCK + _first_above(inside, rest, relative=False)
    return token.clamp_(max=vocabulary - 1)


def _first_above(cumulated: torch.Tensor, target: torch.Tensor, *, relative: bool) -> torch.Tensor:
    """The first column of each row that exceeds its target, which is kept under the row's total."""
    total = cumulated[:, -1]
    if relative:
        target = target * total
    # Rounding may carry a target to the total or below 0: both would pick an impossible token.
    target = torch.minimum(target, torch.nextafter(total, torch.zeros_like(total))).clamp_(min=0)
    index = torch.searchsorted(cumulated, target[:, None], right=True)[:, 0]
    return index.clamp_(max=cumulated.shape[1] - 1)
