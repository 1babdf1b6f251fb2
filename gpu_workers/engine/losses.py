"""The losses, as sums over tokens: what each makes of target logprobs, and its derivative.

Every loss is a function of the logprobs p of the targets alone, so its whole gradient is one number
a target: the coefficient g = dL/dp. The fused head (head.py) asks for it chunk by chunk.

Notation of each function below: p under the model as it is; q = `logprobs`, under the model that
sampled; A = `advantages`; r = exp(p - q). Nothing is averaged, clamped or masked beyond what the
formula says. Clip thresholds are absolute bounds of the ratio, not distances from 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Inputs = dict[str, Tensor]
Config = dict[str, float]
Coefficients = tuple[Tensor, Tensor]
"""(g, terms): dL/dp and the loss's terms, both shaped like p; the loss is the sum of the terms."""


def cross_entropy(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = sum(-w p), any w of any sign; p and w [n] or [n, K]."""
    g = -inputs["weights"]
    return g, g * p


def importance_sampling(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum(r A)."""
    g = -torch.exp(p - inputs["logprobs"]) * inputs["advantages"]
    return g, g


def ppo(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum(min(r A, clamp(r, low, high) A)). No gradient where the clamped side is smaller."""
    return _clipped(torch.exp(p - inputs["logprobs"]), inputs, config)


def cispo(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum(stopgrad(clamp(r, low, high)) p A)."""
    low, high = _thresholds(inputs, config)
    ratio = torch.exp(p - inputs["logprobs"]).clamp(low, high)
    g = -ratio * inputs["advantages"]
    return g, g * p


def dro(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum(p A - beta/2 (p - q)²)."""
    beta, advantages = config["beta"], inputs["advantages"]
    gap = p - inputs["logprobs"]
    return beta * gap - advantages, beta / 2 * gap * gap - p * advantages


def gspo(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum(min(s A, clamp(s, low, high) A)), s = exp(mean over the mask of (p - q)).

    s is one number a sequence; its gradient is taken as each token's own (s times stopgrad'ed
    exp(p - p)). A missing mask is all ones; a sequence whose mask is all zero has s = 1. Rows are
    whole sequences: inputs["lengths"] (int64, on the CPU) says how long each is.
    """
    gap = p - inputs["logprobs"]
    lengths = inputs["lengths"].tolist()
    mask = inputs.get("sequence_ratio_mask")
    if mask is None:
        mask = torch.ones_like(gap)
    ratio = torch.empty_like(gap)
    for out, gaps, chosen in zip(
        ratio.split(lengths), gap.split(lengths), mask.split(lengths), strict=True
    ):
        out.copy_(torch.exp((gaps * chosen).sum() / chosen.sum().clamp(min=1)))
    return _clipped(ratio, inputs, config)


def stable_reinforce(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum(m w A p) + kl_coeff/2 sum(m w (p - q)²), w = stopgrad(min(r, max_ratio)).

    Our own definition: the vendor's is not published. REINFORCE with truncated importance ratios;
    the second term's gradient is that of the reverse KL from the policy to the sampler, estimated
    with the same ratios. m = `sequence_ratio_mask`, 1 for tokens that were sampled; 1 if missing.
    """
    gap = p - inputs["logprobs"]
    advantages = inputs["advantages"]
    weight = torch.exp(gap.clamp(max=math.log(config["max_ratio"])))
    mask = inputs.get("sequence_ratio_mask")
    if mask is not None:
        weight = weight * mask
    kl = config["kl_coeff"]
    return weight * (kl * gap - advantages), weight * (kl / 2 * gap * gap - advantages * p)


def dpo(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum over pairs of log sigmoid(beta (R_chosen - R_rejected)), R = sum(w (p - q)).

    q = `logprobs`, under the reference model; w = `weights`. Rows are whole sequences, chosen and
    rejected in turn, `lengths` long. A pair's loss stands in the first row of its chosen sequence.
    """
    gap = p.double() - inputs["logprobs"].double()
    return _preferred(gap, inputs, config["dpo_beta"])


def bradley_terry(p: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """L = -sum over pairs of log sigmoid(S_chosen - S_rejected), S = sum(w p); p, w [n] or [n, K].

    Rows and lengths as in `dpo`.
    """
    return _preferred(p.double(), inputs, 1.0)


def _preferred(values: Tensor, inputs: Inputs, beta: float) -> Coefficients:
    """Both of pairs' losses, of sums over w times float64 values [n] or [n, K]."""
    weights, lengths = inputs["weights"], inputs["lengths"]
    gains = (weights.double() * values).split(lengths.tolist())
    rewards = beta * torch.stack([gain.sum() for gain in gains])
    margins = rewards[0::2] - rewards[1::2]
    slope = -beta * torch.sigmoid(-margins)
    slopes = torch.stack([slope, -slope], 1).flatten().to(weights.dtype)
    slopes = slopes.repeat_interleave(lengths.to(weights.device))
    terms = torch.zeros_like(slopes)
    firsts = (lengths.cumsum(0) - lengths)[0::2].to(weights.device)
    terms[firsts] = -torch.nn.functional.logsigmoid(margins).to(weights.dtype)
    return (slopes if weights.dim() == 1 else slopes.unsqueeze(-1)) * weights, terms


def _clipped(ratio: Tensor, inputs: Inputs, config: Config) -> Coefficients:
    """-min(r A, clamp(r) A) and its derivative by p where dr/dp = r."""
    low, high = _thresholds(inputs, config)
    advantages = inputs["advantages"]
    free = ratio * advantages
    bound = ratio.clamp(low, high) * advantages
    g = torch.where(free <= bound, -free, torch.zeros_like(free))
    return g, -torch.minimum(free, bound)


def _thresholds(inputs: Inputs, config: Config) -> tuple[Tensor, Tensor]:
    """Clip bounds [n]: a token's own where given, else the configured ones."""
    like = inputs["advantages"]
    low = inputs.get("clip_low_threshold")
    high = inputs.get("clip_high_threshold")
    return (
        torch.full_like(like, config["clip_low_threshold"]) if low is None else low,
        torch.full_like(like, config["clip_high_threshold"]) if high is None else high,
    )


FORMULAS: dict[str, Callable[[Tensor, Inputs, Config], Coefficients]] = {
    "cross_entropy": cross_entropy,
    "importance_sampling": importance_sampling,
    "ppo": ppo,
    "cispo": cispo,
    "dro": dro,
    "gspo": gspo,
    "stable_reinforce": stable_reinforce,
    "dpo": dpo,
    "bradley_terry": bradley_terry,
}
"""The formula of each of `tinsmith.losses.LOSSES`. One of a loss of whole sequences is asked for
whole chunks, with their `lengths` in inputs; any other may be asked for any rows."""
