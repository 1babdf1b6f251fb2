"""The samples that grow side by side: all of all adapters get one token a step.

Samples join and leave between steps. A request whose samples cannot all run at once lends its last
row to the next of them, so that a request that has begun always goes on.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable

import numpy as np
import torch

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.sampler.batch import DecodeBatch
from gpu_workers.engine.sampler.choose import Controls, Top, choose_and_show
from gpu_workers.engine.sampler.kv import KVCache, Row
from gpu_workers.engine.sampler.lora import add_lora, logits
from gpu_workers.engine.sampler.queue import FairQueue
from gpu_workers.engine.sampler.randomness import uniforms
from gpu_workers.engine.sampler.request import Request, Sequence
from gpu_workers.engine.turns import Served
from gpu_workers.engine.types import Result, UserError

logger = logging.getLogger(__name__)

Drawn = tuple[list[Sequence], torch.Tensor, torch.Tensor, dict[int, Top]]
"""Samples, the token of each, its logprob, and the likeliest tokens of those that show them."""

Starting = list[tuple[Request, Row | None]]
"""Samples to start: a prefilled request, and the row (with its prompt) that the sample gets."""

Close = Callable[[Request, Result | BaseException], None]
"""Answers a request and gives back all that it holds, its samples here included."""


class Decoding:
    """All running samples of one base model. Lives on the engine's thread."""

    def __init__(
        self, base: BaseModel, cache: KVCache, queue: FairQueue[Request], close: Close
    ) -> None:
        self.base = base
        self.cache = cache
        self.running: list[Sequence] = []
        self.steps = 0
        self._queue = queue
        self._close = close
        self._batch: DecodeBatch | None = None

    def requests(self) -> set[Request]:
        """Those that have samples running."""
        return {sequence.request for sequence in self.running}

    def start(self, starting: Starting) -> None:
        """Draw the first token of new samples: of all together, or else request by request."""
        sequences = self._enlist(starting)
        if not sequences:
            return
        try:
            groups = [self._draw_first(sequences)]
        except Exception:
            logger.exception("drawing first tokens failed; each request tries by itself")
            groups = []
            for request in dict.fromkeys(sequence.request for sequence in sequences):
                try:
                    groups.append(self._draw_first([s for s in sequences if s.request is request]))
                except Exception as error:
                    self._close(request, error)
        for group in groups:
            try:
                self._take(*group)
            except Exception as error:
                logger.exception("starting samples failed")
                for sequence in group[0]:
                    self._close(sequence.request, error)

    def _enlist(self, starting: Starting) -> list[Sequence]:
        """New samples of prefilled requests: they own their rows from now on."""
        sequences: list[Sequence] = []
        index: Counter[Request] = Counter()
        for request, row in reversed(starting):  # request.started already counts them all
            index[request] += 1
            sequence = Sequence(request, request.started - index[request], row)
            request.running.append(sequence)
            request.row = None
            sequences.append(sequence)
        sequences.reverse()
        self.running += sequences
        self._batch = None
        return sequences

    def _draw_first(self, sequences: list[Sequence]) -> Drawn:
        """The first token of each of these samples, and its logprob."""
        works = [sequence.request.work for sequence in sequences]
        first = torch.stack([sequence.request.first_logits for sequence in sequences])
        keys = np.array([sequence.key for sequence in sequences], np.uint64)
        drawn = torch.from_numpy(uniforms(keys, np.zeros_like(keys))).to(first.device)
        controls = Controls.of(works, first.shape[1], first.device)
        return sequences, *choose_and_show(first, controls, drawn)

    def step(self) -> Counter[Served]:
        """One more token for every sample; how many were whose."""
        base = self.base
        batch = self._current_batch()
        base.context.begin(batch.segments, batch.attention)
        base.context.inference_lora = add_lora
        try:
            hidden = base.hidden(batch.tokens, batch.positions)
        finally:
            base.context.end()
        scores = logits(base, hidden, batch.segments)[: batch.count]
        drawn = torch.from_numpy(uniforms(batch.keys, batch.counters)).to(base.device)
        tokens, logprobs, tops = choose_and_show(scores, batch.controls, drawn)
        self.steps += 1
        for sequence in batch.sequences:
            sequence.row.length += 1  # type: ignore[union-attr]
        for team, count in batch.teams.items():
            self._queue.charge(team, count)
        batch.advance(tokens)
        self._take(batch.sequences, tokens, logprobs, tops)
        return batch.served

    def _current_batch(self) -> DecodeBatch:
        """The last step's batch if the same samples go on in the same places, else a new one."""
        batch = self._batch
        if batch is None or batch.layout != self.cache.layout or batch.full():
            rows = [s.row for s in self.running if s.row is not None]
            self.cache.ensure(rows, [row.length + 1 for row in rows])
            batch = self._batch = DecodeBatch(self.running, self.base, self.cache.layout)
        return batch

    def _take(
        self,
        sequences: list[Sequence],
        tokens: torch.Tensor,
        logprobs: torch.Tensor,
        tops: dict[int, Top],
    ) -> None:
        """Hand each sample its token, end what is complete, start what may take its place."""
        ended = self._append(sequences, tokens, logprobs, tops)
        while ended:
            successors = self._end(ended)
            ended = self._append(*self._draw_first(self._enlist(successors))) if successors else []

    def _append(
        self,
        sequences: list[Sequence],
        tokens: torch.Tensor,
        logprobs: torch.Tensor,
        tops: dict[int, Top],
    ) -> list[Sequence]:
        """Hand each sample its token; those that are complete now. Requests gone bad are closed."""
        values = logprobs.cpu().numpy()
        sound = np.isfinite(values).tolist()
        ended: list[Sequence] = []
        drawn = zip(sequences, tokens.tolist(), values.tolist(), sound, strict=True)
        for number, (sequence, token, logprob, fine) in enumerate(drawn):
            request = sequence.request
            if request.closed:
                continue
            if not fine:
                self._close(request, _not_finite(request))
                continue
            if request.on_token is not None:
                request.on_token(sequence.index, token, logprob)
            if (reason := sequence.take(token, logprob, tops.get(number))) is not None:
                request.results[sequence.index] = sequence.result(reason)
                ended.append(sequence)
        return ended

    def _end(self, ended: Iterable[Sequence]) -> Starting:
        """Free the places of complete samples and answer complete requests.

        A request keeps the last row that holds its prompt while it has samples to start: the next
        of them takes over the row, so a request that has begun always goes on.
        """
        successors: Starting = []
        for sequence in ended:
            request, row = sequence.request, sequence.row
            if request.closed:
                continue
            self.remove(sequence)
            if row is not None:
                if request.unstarted and not request.running:
                    row.length = len(request.work.prompt)
                    request.started += 1
                    successors.append((request, row))
                    if not request.unstarted:
                        self._queue.remove(request)
                else:
                    self.cache.free(row)
            if len(request.results) == request.work.num_samples:
                self._close(request, request.result())
        return successors

    def remove(self, sequence: Sequence) -> None:
        """Let a sample leave; its row is for the caller to free."""
        self.running.remove(sequence)
        sequence.request.running.remove(sequence)
        self._batch = None


def _not_finite(request: Request) -> Exception:
    if request.version_name is None:
        return RuntimeError("The base model gave numbers that are not finite.")
    return UserError(
        "The sampler's weights give numbers that are not finite (NaN or infinity): "
        "the run diverged before they were saved. Sample from an earlier checkpoint."
    )
