"""Requests as values, under the public client's names; the clients make their own."""

from __future__ import annotations

from tinsmith._words.mistakes import Struct
from tinsmith.types.inputs import ModelInput
from tinsmith.types.params import OptimParams, SamplingParams


class OptimStepRequest(Struct, frozen=True, kw_only=True):
    """One optimizer step of a run."""

    optim_params: OptimParams
    model_id: str
    seq_id: int | None = None


class SampleRequest(Struct, frozen=True, kw_only=True):
    """Samples asked of a sampler."""

    prompt: ModelInput
    sampling_params: SamplingParams
    num_samples: int = 1
    base_model: str | None = None
    model_path: str | None = None
    sampling_session_id: str | None = None
    seq_id: int | None = None
    prompt_logprobs: bool | None = None
    topk_prompt_logprobs: int = 0
    topk_sample_logprobs: int = 0
