"""`asample` bodies, read into the engine's Sample. Whatever is wrong with one is a UserError."""

from __future__ import annotations

import numpy as np

from gpu_workers.engine.types import PromptTargets, Sample, UserError
from gpu_workers.reading import tensors
from gpu_workers.reading.bodies import decode, tokens_of
from gpu_workers.reading.tensors import Spread
from operations.bodies import SampleBody, TensorData


def sample(body: bytes) -> tuple[Sample, bool]:
    """(the work, whether the sampled logprobs are to be recorded) of an `asample` body."""
    request = decode(body, SampleBody, nul_allowed=True)
    params = request.sampling_params
    tokens, strings = _stops(params.stop)
    work = Sample(
        prompt=tokens_of(request.prompt),
        num_samples=1 if request.num_samples is None else request.num_samples,
        max_tokens=params.max_tokens,
        temperature=1.0 if params.temperature is None else params.temperature,
        top_k=-1 if params.top_k is None else params.top_k,
        top_p=1.0 if params.top_p is None else params.top_p,
        seed=params.seed,
        stop_tokens=tokens,
        stop_strings=strings,
        prompt_logprobs=bool(request.prompt_logprobs),
        prompt_logprobs_last_n=request.prompt_logprobs_last_n,
        topk_prompt_logprobs=request.topk_prompt_logprobs or 0,
        topk_sample_logprobs=request.topk_sample_logprobs or 0,
        prompt_targets=_targets(request.target_prompt_logprobs),
        prompt_alt_tokens_k=request.prompt_alt_tokens_k or 0,
        report_tokens=bool(request.report_tokens),
    )
    return work, bool(request.record_stability_info)


def _targets(tensor: TensorData | None) -> PromptTargets | None:
    """The cells of `target_prompt_logprobs`: all of them, or those that a sparse table lists."""
    where = "target_prompt_logprobs"
    if tensor is None:
        return None
    if tensor.dtype != "int64" or tensor.shape is None or len(tensor.shape) != 2:
        raise UserError(f"{where} must be an int64 tensor of shape [len(prompt) - 1, K]")
    sparse = tensors.csr_of(tensor, where)
    if sparse is not None:
        return PromptTargets(
            sparse.row_of,
            sparse.values,
            (tensor.shape[0], tensor.shape[1]),
            sparse.row_starts,
            sparse.columns,
        )
    table = tensors.from_json(tensor, where, Spread())
    rows = np.repeat(np.arange(table.shape[0]), table.shape[1])
    return PromptTargets(rows, table.reshape(-1), (table.shape[0], table.shape[1]))


def _stops(stop: str | list[str | int] | None) -> tuple[list[int] | None, list[str] | None]:
    """Stop tokens and stop strings; (None, None) when the model's own end tokens stop."""
    if stop is None:
        return None, None
    entries = [stop] if isinstance(stop, str) else stop
    return (
        [entry for entry in entries if isinstance(entry, int)],
        [entry for entry in entries if isinstance(entry, str)],
    )
