"""Where the tokens of a datum come from, and what the sampler recorded of them.

Spans tile `target_tokens`: each names a sequence that was sampled with `record_stability_info`, and
says which of its tokens (or of its prompt's) stand here. `stable_reinforce` uses them: sampled
tokens count, prompt tokens do not; and the logprobs that the sampler recorded take the place of a
`logprobs` input that was not sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from gpu_workers.engine.types import Datum, ForwardBackward, UserError
from operations.recordings import KEPT_S, Recorded
from tinsmith.losses import LOSSES

Find = Callable[[list[str]], dict[str, Recorded]]


@dataclass(frozen=True, slots=True)
class Span:
    """`length` tokens from `offset` on of a sequence's sampled tokens, or of its prompt."""

    sequence_id: str
    offset: int
    length: int
    sampled: bool


def check(number: int, spans: Iterable[Span], tokens: int, what: str) -> None:
    """UserError unless the spans tile `tokens` positions."""
    total = 0
    for span in spans:
        if not span.sequence_id or span.offset < 0 or span.length < 0:
            raise UserError(
                f"datum {number}: a span of {what} needs a sequence_id, an offset and a length "
                "that are not negative"
            )
        total += span.length
    if total != tokens:
        raise UserError(
            f"datum {number}: the spans of {what} cover {total} positions, there are {tokens}"
        )


def use(work: ForwardBackward, spans: list[list[Span] | None], find: Find) -> None:
    """Give `work`'s datums the mask and the logprobs that their spans stand for.

    `find` looks up recorded sequences. A loss that does not read provenance has no use for spans.
    """
    loss = LOSSES.get(work.loss_fn)
    if loss is None or not loss.reads_provenance or not any(spans):
        return
    wanted: set[str] = set()
    for number, (datum, own) in enumerate(zip(work.data, spans, strict=True)):
        if own is not None:
            _mask(number, datum, own)
            if "logprobs" not in datum.inputs:
                wanted.update(span.sequence_id for span in own if span.sampled and span.length)
    recorded = find(sorted(wanted)) if wanted else {}
    for number, (datum, own) in enumerate(zip(work.data, spans, strict=True)):
        if own is not None and "logprobs" not in datum.inputs:
            datum.inputs["logprobs"] = _logprobs(number, datum, own, recorded)


def _mask(number: int, datum: Datum, spans: list[Span]) -> None:
    sampled = np.repeat([span.sampled for span in spans], [span.length for span in spans])
    advantages = datum.inputs.get("advantages")
    if advantages is not None and advantages.shape == sampled.shape:
        stray = np.flatnonzero((advantages != 0) & ~sampled)
        if stray.size:
            raise UserError(
                f"datum {number}: the advantage at position {int(stray[0])} is not 0, but its "
                "span says that the token was given, not sampled"
            )
    datum.inputs.setdefault("sequence_ratio_mask", sampled.astype(np.float32))


def _logprobs(
    number: int, datum: Datum, spans: list[Span], recorded: dict[str, Recorded]
) -> np.ndarray:
    """float32 [N]: what was recorded of sampled tokens, 0 elsewhere."""
    targets = datum.inputs["target_tokens"]
    result = np.zeros(len(targets), np.float32)
    at = 0
    for span in spans:
        here = slice(at, at + span.length)
        at += span.length
        if not span.sampled or not span.length:
            continue
        found = recorded.get(span.sequence_id)
        if found is None:
            raise UserError(
                f"datum {number}: nothing is recorded of the sequence {span.sequence_id}. Sample "
                "with record_stability_info in the run's own session, train within "
                f"{KEPT_S // 3600} hours, or send logprobs"
            )
        there = slice(span.offset, span.offset + span.length)
        if span.offset + span.length > len(found.tokens):
            raise UserError(
                f"datum {number}: the sequence {span.sequence_id} has {len(found.tokens)} tokens, "
                f"a span ends at {span.offset + span.length}"
            )
        if (found.tokens[there] != targets[here]).any():
            raise UserError(
                f"datum {number}: target_tokens differ from the tokens that were sampled as "
                f"{span.sequence_id}"
            )
        result[here] = found.logprobs[there]
    return result
