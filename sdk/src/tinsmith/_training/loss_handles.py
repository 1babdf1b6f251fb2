"""Losses of one datum, made with ``ServiceClient.create_custom_loss``; they run in this process."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from tinsmith._training.custom_loss import CustomLossFn
from tinsmith._words.mistakes import explained
from tinsmith.types.datum import Datum

CustomLossInputRank = Literal[0, 1, 2]
PerDatumLossFn = Callable[..., tuple[Any, Mapping[str, Any]]]
"""``(logprobs, *loss_fn_inputs)`` of one datum to ``(scalar tensor, scalar tensors by name)``."""

MAX_INPUTS = 16
_NAME = re.compile(r"[a-z_][a-z0-9_]{0,63}")
_METRIC = re.compile(r"custom/[a-z0-9_./-]{1,64}:(sum|mean)")


@dataclass(frozen=True)
class CustomLossInput:
    """A parameter of a loss: its name, and how many dimensions it has."""

    name: str
    rank: CustomLossInputRank


@explained
@dataclass(frozen=True)
class LossHandle:
    """A loss to pass to ``TrainingClient.forward_backward_custom``.

    Attributes:
        name: the function's name.
        inputs: ``logprobs``, then the ``loss_fn_inputs`` it reads.
        session_id: only clients of this session can use it.
        loss_id: None: it runs here, not on the server.
    """

    name: str
    inputs: tuple[CustomLossInput, ...]
    session_id: str
    fn: PerDatumLossFn = field(repr=False, compare=False)
    loss_id: str | None = None

    @property
    def input_names(self) -> tuple[str, ...]:
        """The ``loss_fn_inputs`` the loss reads, in the order it takes them."""
        return tuple(item.name for item in self.inputs[1:])

    def in_session(self, session_id: str) -> LossHandle:
        """The same loss for the clients of a session."""
        return replace(self, session_id=session_id)

    def checked(self, data: Sequence[Datum], session_id: str | None) -> CustomLossFn:
        """The loss over a whole batch.

        Raises:
            ValueError: another session's handle, or a datum without one of the inputs.
        """
        if self.session_id != session_id:
            raise ValueError(
                f"loss {self.name!r} was made by another ServiceClient; "
                "make it with create_custom_loss of the one that made this training client"
            )
        for index, datum in enumerate(data):
            for item in self.inputs:
                key = "target_tokens" if item.name == "logprobs" else item.name
                if key not in datum.loss_fn_inputs:
                    raise ValueError(
                        f"datum {index} has no loss_fn_inputs[{key!r}], which loss {self.name!r} "
                        "reads"
                    )
                rank = len(datum.loss_fn_inputs[key].shape or ())
                if rank != item.rank:
                    raise ValueError(
                        f"loss_fn_inputs[{key!r}] of datum {index} has rank {rank}; loss "
                        f"{self.name!r} was made for rank {item.rank}"
                    )
        return self._sum

    def _sum(self, data: list[Datum], logprobs: list[Any]) -> tuple[Any, dict[str, float]]:
        """The loss and metrics of a batch: sums over its datums, means where the name says so."""
        total: Any = 0.0
        metrics: dict[str, float] = {}
        for datum, given in zip(data, logprobs, strict=True):
            inputs = [datum.loss_fn_inputs[name].to_torch() for name in self.input_names]
            loss, found = self.fn(given, *inputs)
            if getattr(loss, "ndim", None) != 0:
                raise ValueError(f"loss {self.name!r} must return a scalar tensor first")
            total = total + loss
            for key, value in found.items():
                if not _METRIC.fullmatch(key):
                    raise ValueError(
                        f"loss {self.name!r} names a metric {key!r}; names look like "
                        "custom/<name>:sum or custom/<name>:mean"
                    )
                number = value.detach() if hasattr(value, "detach") else value
                metrics[key] = metrics.get(key, 0.0) + float(number)
        for key in metrics:
            if key.endswith(":mean"):
                metrics[key] /= len(data)
        return total, metrics


def make_handle(fn: PerDatumLossFn, ranks: Mapping[str, Any], session_id: str) -> LossHandle:
    """The handle of a function; raises ValueError when it cannot be a loss."""
    name = getattr(fn, "__name__", type(fn).__name__)
    parameters = list(inspect.signature(fn).parameters.values())
    if not parameters or parameters[0].name != "logprobs":
        raise ValueError(
            f"{name} must take logprobs first and then the loss_fn_inputs it reads, "
            "e.g. def loss(logprobs, advantages)"
        )
    if len(parameters) > MAX_INPUTS:
        raise ValueError(f"{name} takes {len(parameters)} parameters; at most {MAX_INPUTS} do")
    for parameter in parameters:
        plain = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if not plain or parameter.default is not parameter.empty:
            raise ValueError(
                f"{name}'s parameter {parameter.name!r} must be a plain one without a default: "
                "it names an input that every datum has"
            )
        if not _NAME.fullmatch(parameter.name):
            raise ValueError(
                f"{name}'s parameter {parameter.name!r} must be lower-case letters, digits and _"
            )
    names = [parameter.name for parameter in parameters]
    if set(ranks) != set(names):
        raise ValueError(
            f"input_ranks must give a rank for each of {', '.join(names)}, not for "
            f"{', '.join(sorted(ranks)) or 'nothing'}"
        )
    for key, rank in ranks.items():
        allowed = (1, 2) if key == "logprobs" else (0, 1, 2)
        if rank not in allowed:
            raise ValueError(f"the rank of {key} must be one of {allowed}, not {rank!r}")
    inputs = tuple(CustomLossInput(name, ranks[name]) for name in names)
    return LossHandle(name, inputs, session_id, fn)
