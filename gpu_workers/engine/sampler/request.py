"""A request on its way through the sampler, and the samples it grows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from gpu_workers.engine.lora.context import Adapter
from gpu_workers.engine.sampler.choose import Top
from gpu_workers.engine.sampler.kv import Row
from gpu_workers.engine.sampler.prompt import PromptScores
from gpu_workers.engine.sampler.randomness import stream_key
from gpu_workers.engine.sampler.stops import StopRule
from gpu_workers.engine.sampler.versions import Version
from gpu_workers.engine.turns import Times
from gpu_workers.engine.types import (
    Done,
    OnToken,
    Sample,
    SampledSequence,
    SampleResult,
    TopLogprobs,
)


@dataclass(eq=False, slots=True)
class Request:
    """One Sample: waits, is prefilled once, then starts its samples as places come free."""

    work: Sample
    version_name: str | None
    directory: Path | None
    team: str
    done: Done
    stop: StopRule
    budget: int  # tokens a sample may have
    on_token: OnToken | None = None
    target: str = ""  # the sampler, for whoever watches
    times: Times = field(default_factory=Times)
    cancelled: bool = False
    closed: bool = False
    version: Version | None = None
    row: Row | None = None  # while the prompt is being prefilled
    prefilled: int = 0
    scores: PromptScores | None = None
    first_logits: torch.Tensor | None = None  # [vocabulary]: what every sample's first token is of
    started: int = 0
    running: list[Sequence] = field(default_factory=list)
    results: dict[int, SampledSequence] = field(default_factory=dict)

    @property
    def adapter(self) -> Adapter | None:
        return None if self.version is None else self.version.adapter

    @property
    def tokens_stored(self) -> int:
        """Tokens a finished sample has in the cache: its last token never gets there."""
        return len(self.work.prompt) + self.budget - 1

    @property
    def unstarted(self) -> int:
        return self.work.num_samples - self.started

    def result(self) -> SampleResult:
        """What is answered when every sample has ended."""
        result = SampleResult(
            sequences=[self.results[index] for index in range(self.work.num_samples)],
            prompt_logprobs=None,
            prompt_cache_hit_tokens=0,
        )
        if self.scores is not None:
            self.scores.write(result)
        return result


class Sequence:
    """One sample that is being decoded. The last of its tokens is not in the cache yet."""

    __slots__ = ("index", "key", "logprobs", "request", "row", "tokens", "tops")

    def __init__(self, request: Request, index: int, row: Row | None) -> None:
        self.request, self.index, self.row = request, index, row
        self.key = stream_key(request.work.seed, index)
        self.tokens: list[int] = []
        self.logprobs: list[float] = []
        self.tops: list[Top] = []

    def take(self, token: int, logprob: float, top: Top | None = None) -> str | None:
        """Add a token; "stop" or "length" if it is the last one."""
        self.tokens.append(token)
        self.logprobs.append(logprob)
        if top is not None:
            self.tops.append(top)
        if self.request.stop.stops(self.tokens, self.request.work.prompt):
            return "stop"
        return "length" if len(self.tokens) >= self.request.budget else None

    def result(self, reason: str) -> SampledSequence:
        return SampledSequence(
            tokens=np.array(self.tokens, np.int32),
            logprobs=np.array(self.logprobs, np.float32),
            stop_reason=reason,  # type: ignore[arg-type]
            top=self._top() if self.tops else None,
        )

    def _top(self) -> TopLogprobs:
        result = TopLogprobs.empty(len(self.tops), self.request.work.topk_sample_logprobs)
        for place, (tokens, logprobs) in enumerate(self.tops):
            result.tokens[place, : len(tokens)] = tokens
            result.logprobs[place, : len(tokens)] = logprobs
        return result
