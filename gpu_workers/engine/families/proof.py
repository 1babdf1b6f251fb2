"""The proof that the engine computes a base model right: its logprobs against the model's own.

The model's own are those of its unmodified forward, a sequence at a time, with transformers' own
attention. The engine's are those of a pass over packed sequences, and of the sampler's cache.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from gpu_workers.engine.attention import packed_attention
from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.families.refusals import CannotServe
from gpu_workers.engine.families.shrink import TOKENS, random_model, shrunk_config
from gpu_workers.engine.lora.context import Adapter
from gpu_workers.engine.packing import pack
from gpu_workers.engine.sampler.local import LocalSampler
from gpu_workers.engine.sampler.lora import logits
from gpu_workers.engine.sampler.options import SamplerOptions
from gpu_workers.engine.types import Sample, SampleResult

Sequences = list[np.ndarray]


@dataclass(frozen=True, slots=True)
class Bound:
    """How far logprobs may be from the model's own: each of them, and all of them on average."""

    most: float
    mean: float


FAMILY_BOUNDS = {torch.float32: Bound(1e-4, 1e-4), torch.bfloat16: Bound(0.5, 0.05)}
WEIGHTS_BOUNDS = {torch.float32: Bound(1e-4, 1e-4), torch.bfloat16: Bound(2.0, 0.2)}
"""The model's own forward rounds at other places than ours. How far that carries depends on the
weights: up to `_ROUNDING` times what the model differs from itself with another of transformers'
attention kernels is allowed, too."""
_ROUNDING = 4.0

_LIKELIEST = 32
_ROWS = 64  # passes are multiples of this many rows, whatever the number of threads
_PROMPT, _SAMPLED, _PREFILL = 27, 26, 16


def random_sequences(lengths: Sequence[int], vocabulary: int) -> Sequences:
    """Token ids, the same each time."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, vocabulary, length).astype(np.int64) for length in lengths]


class Probe:
    """A few short sequences and what the model itself says of them, taken before it is changed.

    Kept are the logprobs of the likeliest tokens in each place: the model is not held twice.
    """

    LENGTHS = (40, 8)

    def __init__(self, model: PreTrainedModel) -> None:
        self._sequences = random_sequences(self.LENGTHS, model.config.vocab_size)
        self._likeliest: list[tuple[Tensor, Tensor]] = []
        for tokens in self._sequences:
            own = _own_logprobs(model, tokens)
            values, ids = own.topk(min(_LIKELIEST, own.shape[-1]), -1)
            self._likeliest.append((values, ids))
        self._bound = WEIGHTS_BOUNDS[model.dtype]
        self._allow_for_rounding(model)

    def _allow_for_rounding(self, model: PreTrainedModel) -> None:
        """Widen the bound for a model that is not much nearer to itself."""
        before = model.config._attn_implementation
        try:
            model.set_attn_implementation("sdpa")
            gaps = _gaps(self._differences([_own_logprobs(model, t) for t in self._sequences]))
        except (ValueError, ImportError):  # this family has no other kernel
            return
        finally:
            model.set_attn_implementation(before)
        self._bound = Bound(
            max(self._bound.most, _ROUNDING * gaps.most),
            max(self._bound.mean, _ROUNDING * gaps.mean),
        )

    def _differences(self, found: list[Tensor]) -> list[Tensor]:
        return [
            theirs.gather(-1, ids) - own
            for theirs, (own, ids) in zip(found, self._likeliest, strict=True)
        ]

    def compare(self, base: BaseModel) -> None:
        """Raise CannotServe unless the engine says the same."""
        differences = self._differences(packed_logprobs(base, self._sequences))
        _judge(base, differences, self._bound, "on a probe of its own weights")


def prove_family(config: PretrainedConfig, device: str, dtype: torch.dtype) -> None:
    """Raise CannotServe unless the engine computes a small random model of this kind right.

    Beyond its window and its rope's original context, packed beside others, and token by token
    from the sampler's cache. In float32 on the CPU; then as the model itself will be computed.
    """
    try:
        model = random_model(shrunk_config(config))
    except Exception as error:
        raise CannotServe(
            f"model_type {config.model_type!r} cannot be served: no small model of its kind could "
            f"be made to check it with: {error}"
        ) from error
    for where, kind in dict.fromkeys([("cpu", torch.float32), (device, dtype)]):
        own = copy.deepcopy(model).to(where, kind)
        try:
            _prove(own, BaseModel(copy.deepcopy(own), "", None))
        except CannotServe:
            raise
        except Exception as error:  # its layers want to be called in another way
            raise CannotServe(
                f"model_type {config.model_type!r} cannot be served: {error or repr(error)}"
            ) from error


def _prove(own: PreTrainedModel, base: BaseModel) -> None:
    bound = FAMILY_BOUNDS[base.dtype]
    sequences = random_sequences((11, TOKENS, 30), base.info.vocab_size)
    packed = packed_logprobs(base, sequences)
    _judge(
        base,
        [ours - _own_logprobs(own, tokens) for ours, tokens in zip(packed, sequences, strict=True)],
        bound,
        "in packed sequences beyond its window and original context",
    )
    tokens, sampled = sampled_logprobs(base, sequences[1][:_PROMPT])
    expected = _own_logprobs(own, tokens)[:-1].gather(
        -1, torch.from_numpy(tokens[1:, None]).to(own.device)
    )
    _judge(base, [sampled - expected[:, 0].cpu()], bound, "token by token from the sampler's cache")


@torch.inference_mode()
def _own_logprobs(model: PreTrainedModel, tokens: np.ndarray) -> Tensor:
    """[N, V] float32 of the unmodified forward."""
    ids = torch.from_numpy(tokens).to(model.device).unsqueeze(0)
    return model(input_ids=ids, use_cache=False).logits[0].float().log_softmax(-1)


@torch.inference_mode()
def packed_logprobs(base: BaseModel, sequences: Sequences) -> list[Tensor]:
    """[N, V] float32 of each sequence, from one pass of the engine over all of them."""
    packed = pack([[tokens.astype(np.int32)] for tokens in sequences], _ROWS)
    base.context.begin([], packed_attention, packed.lengths)
    try:
        hidden = base.hidden(
            torch.from_numpy(packed.tokens).to(base.device),
            torch.from_numpy(packed.positions).to(base.device),
        )
    finally:
        base.context.end()
    scores = logits(base, hidden, []).log_softmax(-1)
    return [scores[span.start : span.end] for span in packed.spans]


def sampled_logprobs(base: BaseModel, prompt: np.ndarray) -> tuple[np.ndarray, Tensor]:
    """Tokens [N] of a prompt and of what was sampled after it, and the logprobs [N - 1] of all but
    the first. The prompt is read in pieces.
    """
    sampler = LocalSampler(base, _no_adapter, SamplerOptions(prefill_tokens=_PREFILL))
    answers: list[object] = []
    work = Sample(
        prompt.tolist(),
        max_tokens=_SAMPLED,
        seed=0,
        stop_tokens=[],
        stop_strings=[],
        prompt_logprobs=True,
    )
    sampler.submit(None, None, work, "proof", answers.append)
    while sampler.has_work():
        sampler.step()
    (answer,) = answers
    if isinstance(answer, BaseException):
        raise answer
    if not isinstance(answer, SampleResult) or answer.prompt_logprobs is None:
        raise TypeError("the sampler gave no result")
    (sequence,) = answer.sequences
    scores = np.concatenate([answer.prompt_logprobs[1:], sequence.logprobs])
    return np.concatenate([prompt, sequence.tokens]).astype(np.int64), torch.from_numpy(scores)


def _no_adapter(directory: Path) -> Adapter:
    raise RuntimeError("the proof uses no adapter")


def _gaps(differences: list[Tensor]) -> Bound:
    """The largest difference and the mean one."""
    gaps = torch.cat([difference.flatten().float().abs().cpu() for difference in differences])
    return Bound(gaps.max().item(), gaps.mean().item())


def _judge(base: BaseModel, differences: list[Tensor], bound: Bound, where: str) -> None:
    gaps = _gaps(differences)
    if not (gaps.most <= bound.most and gaps.mean <= bound.mean):
        dtype = str(base.dtype).removeprefix("torch.")
        raise CannotServe(
            f"model_type {base.config.model_type!r} cannot be served: {where}, the engine's "
            f"logprobs are up to {gaps.most:.2g} ({gaps.mean:.2g} on average) from those of the "
            f"model's own forward; {bound.most:g} ({bound.mean:g}) is allowed in {dtype}"
        )
