"""What goes into the engine and what comes out: plain dataclasses over numpy, no torch.

Whoever submits work imports this file and `engine.Engine`, nothing else of the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]

LORA_ALPHA = 32
"""Alpha of every adapter, whatever its rank: the scale of B·A is 32 / rank."""


class UserError(Exception):
    """The request is at fault; str(self) is shown to the user."""


class EngineStopped(Exception):
    """The engine was stopped before this work was done; nothing is known to be wrong with it."""


class SampleCancelled(Exception):
    """The request was cancelled before it was complete."""


@dataclass(frozen=True, slots=True)
class AdapterSpec:
    """The shape of a run's LoRA adapter. Alpha is always 32."""

    rank: int
    seed: int
    train_attn: bool = True
    train_mlp: bool = True
    train_unembed: bool = True


@dataclass(slots=True)
class Datum:
    """One sequence and what its loss needs.

    `tokens` is int32 [N]. `inputs` are the loss function's inputs by wire name: `target_tokens`
    int64 [N] or [N, K]; `weights`, `logprobs`, `advantages`, `sequence_ratio_mask` float32.
    Position i predicts target i: nothing is shifted or masked here.
    """

    tokens: Int32Array
    inputs: dict[str, npt.NDArray]


# --- work on a run: done strictly in the order of submission --------------------------------------


@dataclass(slots=True)
class CreateRun:
    """Make the run's adapter: A uniform in ±1/sqrt(d_in) from the seed, B zero. Comes first."""

    spec: AdapterSpec


@dataclass(slots=True)
class ForwardBackward:
    """Logprobs, loss and (unless `forward_only`) gradients, added to those already there."""

    data: list[Datum]
    loss_fn: str
    loss_config: dict[str, float | str] = field(default_factory=dict)
    forward_only: bool = False


@dataclass(slots=True)
class OptimStep:
    """One AdamW step on the gradients gathered so far, which are then zero.

    `grad_clip_norm` 0 clips nothing. Weight decay is decoupled, as in torch.optim.AdamW.
    """

    learning_rate: float = 1e-4
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-12
    weight_decay: float = 0.0
    grad_clip_norm: float = 0.0


@dataclass(slots=True)
class SaveState:
    """Write PEFT files to `directory`, which must not exist; `optimizer.safetensors` if asked.

    `gradient` adds the gradients not yet stepped on, so that `LoadState(restore=True)` continues
    exactly where this was saved.
    """

    directory: Path
    optimizer: bool = True
    gradient: bool = False


@dataclass(slots=True)
class LoadState:
    """Put weights from `directory` into the run.

    `optimizer` False resets Adam. Gradients not yet stepped on are dropped, unless `restore` is
    True: then gradient, moments and step counter become exactly what SaveState(gradient=True) saw.
    """

    directory: Path
    optimizer: bool
    restore: bool = False


@dataclass(slots=True)
class PublishSampler:
    """Freeze the run's weights as `version`, ready to sample from; write them to `directory`."""

    version: str
    directory: Path


RunWork = CreateRun | ForwardBackward | OptimStep | SaveState | LoadState | PublishSampler


# --- sampling: no order ---------------------------------------------------------------------------


@dataclass(slots=True)
class Sample:
    """Continue `prompt` `num_samples` times; `report_tokens`: somebody reads along meanwhile.

    `max_tokens` None means up to the model's context length. `stop_tokens` and `stop_strings` both
    None: the model's end-of-sequence tokens stop; both empty: nothing stops.
    """

    prompt: list[int]
    num_samples: int = 1
    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int = -1
    top_p: float = 1.0
    seed: int | None = None
    stop_tokens: list[int] | None = None
    stop_strings: list[str] | None = None
    prompt_logprobs: bool = False
    report_tokens: bool = False


Work = RunWork | Sample


# --- results --------------------------------------------------------------------------------------


@dataclass(slots=True)
class PassResult:
    """Of ForwardBackward: logprobs of the targets, float32, an array a datum.

    Each array has the shape of its target_tokens. `metrics` are keyed `name:reduction`; there is at
    least `loss:sum`.
    """

    outputs: list[Float32Array]
    metrics: dict[str, float]


@dataclass(slots=True)
class OptimResult:
    """Of OptimStep, e.g. `unclipped_grad_norm:mean`."""

    metrics: dict[str, float]


@dataclass(slots=True)
class SaveResult:
    """Of SaveState and PublishSampler: the size of all files together, in bytes."""

    size_bytes: int


@dataclass(slots=True)
class SampledSequence:
    """One continuation: its tokens, and the logprob each had under the sampling distribution."""

    tokens: Int32Array
    logprobs: Float32Array
    stop_reason: Literal["stop", "length"]


@dataclass(slots=True)
class SampleResult:
    """Of Sample. `prompt_logprobs` is float32 [len(prompt)] with NaN first, when asked for."""

    sequences: list[SampledSequence]
    prompt_logprobs: Float32Array | None
    prompt_cache_hit_tokens: int


Result = PassResult | OptimResult | SaveResult | SampleResult | None
"""CreateRun and LoadState give None."""

Done = Callable[[Result | BaseException], None]
"""Called exactly once, from a thread of the engine; must not block. UserError: the user's fault."""

OnToken = Callable[[int, int, float], None]
"""Called from the engine's thread for each token of a sample: (index of the sequence, token, its
logprob). It stands between two decode steps of everybody, so it must not block."""
