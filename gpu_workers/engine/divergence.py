"""When numbers stop being finite: whose fault it is, in words that say what to do.

Data is finite when it comes in (validate.py). So logprobs that are not finite are the weights'
fault, losses of finite logprobs the data's, and a gradient that of whichever is larger.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from torch import Tensor

from gpu_workers.engine.arena import Row, RowState
from gpu_workers.engine.types import Datum, OptimStep, UserError

_ADVICE = (
    "Load an earlier checkpoint, then go on with a smaller learning rate or with grad_clip_norm."
)
_LARGEST_EXPONENT = 88.0
"""exp of more than this is infinite in float32."""


def of_step(step: OptimStep, norm: float) -> UserError:
    """The error of an optimizer step that was not taken."""
    if math.isfinite(norm):
        why = (
            f"this step (learning rate {step.learning_rate:g}, gradient norm {norm:.3g}) would "
            "have made numbers that are not finite"
        )
    else:
        why = "its gradient is not finite"
    return UserError(
        f"The run diverged: {why}. Nothing was changed, the gradient was dropped. {_ADVICE}"
    )


def check_state(state: RowState) -> None:
    """UserError unless all of a run's numbers are finite: nothing else is ever kept."""
    if not all(math.isfinite(peak(tensor)) for tensor in state.tensors):
        raise UserError(
            "The run diverged: its weights are not finite (NaN or infinity), so nothing was "
            f"saved. {_ADVICE}"
        )


def of_logprobs(number: int, row: Row) -> Exception:
    """The error of a pass whose logprobs of datum `number` are not finite."""
    if not row.is_trained():
        return RuntimeError(f"The base model's logprobs of datum {number} are not finite.")
    return UserError(
        f"The run diverged: its weights (the largest is {row.peak():.3g}) make logprobs of datum "
        f"{number} that are not finite. The data is not at fault; no gradient was added. {_ADVICE}"
    )


def of_loss(number: int, datum: Datum, logprobs: npt.NDArray[np.float32]) -> UserError:
    """The error of a datum whose loss is not finite although its logprobs are."""
    given = datum.inputs.get("logprobs")
    if given is not None and given.shape == logprobs.shape:
        at = int(np.argmax(logprobs - given))
        if logprobs[at] - given[at] > _LARGEST_EXPONENT:
            return UserError(
                f"Datum {number}: its loss is not finite: at position {at} `logprobs` says "
                f"{given[at]:g}, the run {logprobs[at]:g}, and their ratio overflows. Send the "
                "logprobs that the sampler returned; no gradient was added."
            )
    name, value = _largest(datum)
    return UserError(
        f"Datum {number}: its loss is not finite although the run's logprobs are: `{name}` goes up "
        f"to {value:.3g}. Send smaller numbers; no gradient was added."
    )


def of_gradient(data: list[Datum], row: Row) -> UserError:
    """The error of a pass whose losses are finite, but not its gradient."""
    number, (name, value) = max(
        enumerate(_largest(datum) for datum in data), key=lambda found: found[1][1]
    )
    if value >= row.peak():
        return UserError(
            f"The gradient is not finite (overflow): `{name}` of datum {number} goes up to "
            f"{value:.3g}. Send smaller numbers; no gradient was added."
        )
    return UserError(
        f"The run diverged: with its weights (the largest is {row.peak():.3g}) the gradient is "
        f"not finite. The data is not at fault; no gradient was added. {_ADVICE}"
    )


def peak(tensor: Tensor) -> float:
    """The largest absolute value, NaN if there is any."""
    low, high = tensor.aminmax()
    return max(-low.item(), high.item(), key=lambda value: (math.isnan(value), value))


def _largest(datum: Datum) -> tuple[str, float]:
    """The input of a datum that goes up highest, and how high."""
    peaks = {
        name: float(np.abs(array).max())
        for name, array in datum.inputs.items()
        if name not in ("target_tokens", "logprobs") and array.size
    }
    return max(peaks.items(), key=lambda item: item[1], default=("advantages", 0.0))
