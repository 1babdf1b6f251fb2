"""What goes into the engine and what comes out: plain dataclasses over numpy, no torch.

Whoever submits work imports this file and `engine.Engine`, nothing else of the engine.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyrage

Float32Array = npt.NDArray[np.float32]
Int32Array = npt.NDArray[np.int32]
AgeRecipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient

NO_LOGPROB = -99999.0
"""What stands in tables of likeliest tokens where there is no token."""

LORA_ALPHA = 32
"""Alpha of every adapter, whatever its rank: the scale of B·A is 32 / rank."""


class UserError(Exception):
    """The request is at fault; str(self) is shown to the user."""


class EngineStopped(Exception):
    """The engine was stopped before this work was done; nothing is known to be wrong with it."""


class FilesDamaged(Exception):
    """Saved files are there, but are not what was saved."""


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


@dataclass(frozen=True, slots=True)
class FrozenWeights:
    """Weights that never change: a published version, and the directory of its PEFT files."""

    version: str
    directory: Path


@dataclass(slots=True)
class ForwardBackward:
    """Logprobs, loss and (unless `forward_only`) gradients, added to those already there.

    `reference`: what a loss that needs reference logprobs is to compare with; None: the base model.
    """

    data: list[Datum]
    loss_fn: str
    loss_config: dict[str, float | str] = field(default_factory=dict)
    forward_only: bool = False
    reference: FrozenWeights | None = None


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
class DropGradient:
    """Forget the gradients gathered since the last step."""


@dataclass(slots=True)
class SaveState:
    """Write PEFT files to `directory`, and `optimizer.safetensors` if asked.

    A directory that is there already is what an earlier attempt at the same has written, whole: it
    stays as it is.

    `gradient` adds the gradients not yet stepped on, so that `LoadState(restore=True)` continues
    exactly where this was saved. With `encrypt_for`, all files are encrypted for those keys, have
    `.age` after their names, and cannot be loaded again.
    """

    directory: Path
    optimizer: bool = True
    gradient: bool = False
    encrypt_for: Sequence[AgeRecipient] = ()


@dataclass(slots=True)
class LoadState:
    """Put weights from `directory` into the run.

    `optimizer` False resets Adam. Gradients not yet stepped on are dropped, unless `restore` is
    True: then gradient, moments and step counter become exactly what SaveState(gradient=True) saw.
    With `creates` the run is nothing without these weights: if they cannot be had, all later work
    on it fails for the same reason.
    """

    directory: Path
    optimizer: bool
    restore: bool = False
    creates: bool = False


@dataclass(slots=True)
class PublishSampler:
    """Freeze the run's weights as `version`, ready to sample from; write them to `directory`.

    A directory that is there already stays as it is, as for `SaveState`.
    """

    version: str
    directory: Path


RunWork = (
    CreateRun | ForwardBackward | OptimStep | DropGradient | SaveState | LoadState | PublishSampler
)


# --- sampling: no order ---------------------------------------------------------------------------


@dataclass(slots=True)
class PromptTargets:
    """Tokens whose logprobs at places of the prompt are wanted: a flat list of cells.

    Cell m asks for token `tokens[m]` (int64; -1 asks for nothing) at prompt position
    `rows[m] + 1` (int64, rising). `shape` is that of the table [len(prompt) - 1, K] which the cells
    are from; `row_starts` and `columns` (int64) are set if the table is sparse (CSR).
    """

    rows: npt.NDArray[np.int64]
    tokens: npt.NDArray[np.int64]
    shape: tuple[int, int]
    row_starts: npt.NDArray[np.int64] | None = None
    columns: npt.NDArray[np.int64] | None = None


@dataclass(slots=True)
class Sample:
    """Continue `prompt` `num_samples` times; `report_tokens`: somebody reads along meanwhile.

    `max_tokens` None means up to the model's context length. `stop_tokens` and `stop_strings` both
    None: the model's end-of-sequence tokens stop; both empty: nothing stops.

    Of the prompt can be had: the logprobs of its own tokens (of its last `prompt_logprobs_last_n`),
    the `topk_prompt_logprobs` likeliest tokens at each place, any `prompt_targets`, and
    `prompt_alt_tokens_k` draws at each place, at the request's temperature.
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
    prompt_logprobs_last_n: int | None = None
    topk_prompt_logprobs: int = 0
    topk_sample_logprobs: int = 0
    prompt_targets: PromptTargets | None = None
    prompt_alt_tokens_k: int = 0
    report_tokens: bool = False


Work = RunWork | Sample


# --- results --------------------------------------------------------------------------------------


@dataclass(slots=True)
class PassResult:
    """Of ForwardBackward: logprobs of the targets, float32, an array a datum.

    Each array has the shape of its target_tokens. `metrics` are keyed `name:reduction`; there is at
    least `loss:sum`. `losses` has each datum's part of that sum, of pairs the whole in the chosen.
    """

    outputs: list[Float32Array]
    metrics: dict[str, float]
    losses: list[float] = field(default_factory=list)


@dataclass(slots=True)
class OptimResult:
    """Of OptimStep, e.g. `unclipped_grad_norm:mean`."""

    metrics: dict[str, float]


@dataclass(slots=True)
class SaveResult:
    """Of SaveState and PublishSampler: the size of all files together, in bytes."""

    size_bytes: int


@dataclass(slots=True)
class TopLogprobs:
    """The k likeliest tokens at each of n places, likeliest first.

    `tokens` int32 [n, k], `logprobs` float32 [n, k]; where there is nothing: token 0, logprob
    `NO_LOGPROB`.
    """

    tokens: Int32Array
    logprobs: Float32Array

    @classmethod
    def empty(cls, places: int, k: int) -> TopLogprobs:
        """Nothing anywhere."""
        return cls(np.zeros((places, k), np.int32), np.full((places, k), NO_LOGPROB, np.float32))


@dataclass(slots=True)
class SampledSequence:
    """One continuation: its tokens, and the logprob each had under the sampling distribution.

    `top`: the likeliest tokens under the same distribution, when asked for.
    """

    tokens: Int32Array
    logprobs: Float32Array
    stop_reason: Literal["stop", "length"]
    top: TopLogprobs | None = None


@dataclass(slots=True)
class SampleResult:
    """Of Sample. What was not asked for is None.

    `prompt_logprobs` is float32 [len(prompt)] with NaN first, and wherever none was asked for;
    `top_prompt` has a row a prompt token; `target_logprobs` float32 [cells], 0 in those that ask
    for nothing; `alt_tokens` int64 and `alt_logprobs` float32, both [len(prompt) - 1, k].
    """

    sequences: list[SampledSequence]
    prompt_logprobs: Float32Array | None
    prompt_cache_hit_tokens: int
    top_prompt: TopLogprobs | None = None
    target_logprobs: Float32Array | None = None
    alt_tokens: npt.NDArray[np.int64] | None = None
    alt_logprobs: Float32Array | None = None


Result = PassResult | OptimResult | SaveResult | SampleResult | None
"""CreateRun, DropGradient and LoadState give None."""

Done = Callable[[Result | BaseException], None]
"""Called exactly once, from a thread of the engine; must not block. UserError: the user's fault."""

OnToken = Callable[[int, int, float], None]
"""Called from the engine's thread for each token of a sample: (index of the sequence, token, its
logprob). It stands between two decode steps of everybody, so it must not block."""
