"""Cuts a batch into requests the server takes, and puts their results together again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from tinsmith.losses import LOSSES
from tinsmith.losses.measures import SAMPLED_TOKENS, measure
from tinsmith.types.datum import Datum
from tinsmith.types.results import ForwardBackwardOutput

MAX_DATUMS = 1024
MAX_BYTES = 5_000_000


def split(
    datums: Sequence[bytes],
    max_datums: int = MAX_DATUMS,
    max_bytes: int = MAX_BYTES,
    group: int = 1,
) -> list[Sequence[bytes]]:
    """Consecutive chunks of at most so many datums and bytes; what is above that goes alone.

    `group` neighbouring datums stay together.
    """
    chunks: list[Sequence[bytes]] = []
    start = size = 0
    for index in range(0, len(datums), group):
        members = datums[index : index + group]
        more = sum(len(datum) for datum in members)
        full = index + len(members) - start > max_datums or size + more > max_bytes
        if index > start and full:
            chunks.append(datums[start:index])
            start, size = index, 0
        size += more
    chunks.append(datums[start:])
    return chunks


def merge(results: Sequence[ForwardBackwardOutput]) -> ForwardBackwardOutput:
    """One result of the whole batch: outputs in order, metrics reduced as their names say.

    A metric that not every chunk has, or whose reduction is unknown, is left out.
    """
    if len(results) == 1:
        return results[0]
    weights = [len(result.loss_fn_outputs) for result in results]
    metrics: dict[str, float] = {}
    for key in results[0].metrics:
        values = [result.metrics[key] for result in results if key in result.metrics]
        reduction = key.rpartition(":")[2]
        if len(values) < len(results):
            continue
        if reduction == "unique":
            metrics.update(
                zip([key, *(f"{key}_{i}" for i in range(1, len(values)))], values, strict=True)
            )
        elif reduction in _REDUCTIONS:
            metrics[key] = _REDUCTIONS[reduction](values, weights)
    return ForwardBackwardOutput(
        loss_fn_output_type=results[0].loss_fn_output_type,
        loss_fn_outputs=[output for result in results for output in result.loss_fn_outputs],
        metrics=metrics,
    )


def measured(
    merged: ForwardBackwardOutput,
    data: Sequence[Datum],
    loss_fn: str,
    settings: Mapping[str, float | str],
) -> ForwardBackwardOutput:
    """A merged result whose measures of sampled tokens are those of the batch as a whole.

    Means over tokens and percentiles do not follow from those of the parts. Where the data does not
    say all that the server knew (spans stand for logprobs), the result stays as it was merged.
    """
    loss = LOSSES.get(loss_fn)
    if loss is None or not loss.of_policy or SAMPLED_TOKENS not in merged.metrics:
        return merged
    if any(datum.loss_fn_input_spans for datum in data):
        return merged
    inputs = [
        {name: tensor.to_numpy() for name, tensor in datum.loss_fn_inputs.items()} for datum in data
    ]
    logprobs = [output["logprobs"].to_numpy() for output in merged.loss_fn_outputs]
    numbers = loss.defaults | {name: float(value) for name, value in settings.items()}
    fresh = measure(loss, numbers, inputs, logprobs)
    known = {name: value for name, value in fresh.items() if name in merged.metrics}
    return replace(merged, metrics=merged.metrics | known)


def _mean(values: Sequence[float], weights: Sequence[int]) -> float:
    return float(np.average(values, weights=weights if sum(weights) else None))


_REDUCTIONS: dict[str, Callable[[Sequence[float], Sequence[int]], float]] = {
    "sum": lambda values, _: float(sum(values)),
    "min": lambda values, _: min(values),
    "max": lambda values, _: max(values),
    "mean": _mean,
    "slack": lambda values, weights: max(values) - _mean(values, weights),
    "hash2": lambda values, _: sum(int(value) for value in values) % 2**64,
}
