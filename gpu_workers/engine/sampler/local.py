"""The local sampler: continuous batching on the trainer's own modules.

Requests wait in a queue that is fair between teams, are prefilled once in chunks, and then grow
their samples side by side (decoding.py). Everything but `submit` and the function it returns runs
on the engine's thread.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import torch

from gpu_workers.engine.base import BaseModel
from gpu_workers.engine.lora.context import Adapter
from gpu_workers.engine.sampler.batch import PrefillBatch, segments_of
from gpu_workers.engine.sampler.decoding import Decoding, Starting
from gpu_workers.engine.sampler.inbox import Inbox
from gpu_workers.engine.sampler.kv import CacheShape, KVCache, Row
from gpu_workers.engine.sampler.lora import MIN_ROWS, add_lora, logits
from gpu_workers.engine.sampler.options import SamplerOptions
from gpu_workers.engine.sampler.prompt import PromptScores
from gpu_workers.engine.sampler.queue import FairQueue
from gpu_workers.engine.sampler.request import Request
from gpu_workers.engine.sampler.stops import StopRule, TokenTexts
from gpu_workers.engine.sampler.tokenizer import load_texts
from gpu_workers.engine.sampler.validate import token_budget
from gpu_workers.engine.sampler.versions import LoadAdapter, VersionStore
from gpu_workers.engine.turns import Served, Times, Watch
from gpu_workers.engine.types import (
    Done,
    EngineStopped,
    OnToken,
    Result,
    Sample,
    SampleCancelled,
)

logger = logging.getLogger(__name__)

SLOW_LOAD_S = 0.005
"""An adapter that is in memory is there sooner; what takes longer is read from files."""

MOST_PREFILLS_IN_A_ROW = 4
"""Filling the batch quickly is worth a pause of those who decode, but not a long one."""


class LocalSampler:
    """Samples from the base model and from frozen versions of its runs."""

    def __init__(
        self,
        base: BaseModel,
        load_adapter: LoadAdapter,
        options: SamplerOptions | None = None,
        watch: Watch | None = None,
    ) -> None:
        options = options or SamplerOptions()
        device = base.device.type
        config = base.config
        heads = config.num_attention_heads
        shape = CacheShape(
            layers=config.num_hidden_layers,
            heads=getattr(config, "num_key_value_heads", None) or heads,
            head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
            dtype=base.dtype,
            device=base.device,
        )
        self.base = base
        self.cache = KVCache(shape, base.info.max_context_length, options.kv_budget(device))
        self.versions = VersionStore(load_adapter, options.adapter_budget(device))
        self.prefill_tokens = 0
        self.served: Counter[Served] = Counter()  # tokens of the last step, by whose they are
        self._watch = watch or Watch()
        self._slots, self._guest_slots = options.slots, options.guest_slots
        self._prefill_step = options.prefill_step(device)
        self._queue: FairQueue[Request] = FairQueue()
        self._prefilling: list[Request] = []
        self._decoding = Decoding(base, self.cache, self._queue, self._close)
        self._prefills_in_a_row = 0
        self._inbox = Inbox()
        self._texts: TokenTexts | None = None
        self._texts_lock = threading.Lock()

    # --- from any thread --------------------------------------------------------------------------

    def submit(
        self,
        version: str | None,
        directory: Path | None,
        work: Sample,
        team: str,
        done: Done,
        on_token: OnToken | None = None,
        target: str = "",
        times: Times | None = None,
    ) -> Callable[[], None]:
        """Queue a valid request; None as version is the base model. Returns what cancels it.

        `on_token` is called with each token as it is drawn, in order within a sequence.
        `done` is called exactly once, from the engine's thread, with SampleCancelled if cancelled.
        Raises UserError if stop strings are asked of a model that has no tokenizer, and what `stop`
        was given after it.
        """
        info = self.base.info
        stop = StopRule.of(work, info.eos_token_ids, self._token_texts)
        budget = token_budget(work, info)
        request = Request(
            work, version, directory, team, done, stop, budget, on_token, target, times or Times()
        )
        return self._inbox.put(request)

    @property
    def decode_steps(self) -> int:
        """How many steps of one token for all there have been."""
        return self._decoding.steps

    def has_work(self) -> bool:
        """Whether `step` would do something."""
        return bool(self._inbox or self._prefilling or self._decoding.running or self._queue)

    def publish(self, version: str, adapter: Adapter) -> None:
        """Make a frozen copy of a run's adapter ready to sample from. It must never change."""
        self.versions.publish(version, adapter)

    def drop(self, version: str) -> None:
        """Forget a version; requests that run with it go on. Unknown ones are fine."""
        self.versions.drop(version)

    def report(self) -> dict[str, int]:
        """Numbers for the worker's page."""
        return {
            "sampler_running": len(self._decoding.running),
            "sampler_prefilling": len(self._prefilling),
            "sampler_waiting": self._queue.waiting() + len(self._inbox),
            "sampler_kv_bytes": self.cache.allocated_bytes(),
            "sampler_versions": len(self.versions),
            "sampler_version_bytes": self.versions.nbytes(),
        }

    # --- on the engine's thread -------------------------------------------------------------------

    @torch.inference_mode()
    def step(self) -> bool:
        """One prefill or one decode step for all that is admitted; whether anything was done."""
        self.served = Counter()
        self._take_in()
        self._admit()
        prefill = self._prefill_is_next()
        if not prefill and not self._decoding.running:
            return False
        self._prefills_in_a_row = self._prefills_in_a_row + 1 if prefill else 0
        involved = set(self._prefilling) if prefill else self._decoding.requests()
        try:
            if prefill:
                self._prefill()
            else:
                self.served = self._decoding.step()
        except Exception as error:  # one bad pass must not end the engine's thread
            logger.exception("sampling failed")
            for request in involved:
                self._close(request, error)
        return True

    def _prefill_is_next(self) -> bool:
        """Prefill and decode take turns; prefill a few more while most requests wait for it."""
        if not self._prefilling or not self._decoding.running:
            return bool(self._prefilling)
        most_wait = len(self._prefilling) > len(self._decoding.running)
        return self._prefills_in_a_row < (MOST_PREFILLS_IN_A_ROW if most_wait else 1)

    @torch.inference_mode()
    def stop(self, error: BaseException | None = None) -> None:
        """Answer everything pending with `error` (EngineStopped) and take no more."""
        error = error or EngineStopped("The engine was stopped.")
        self._inbox.close(error)
        self.fail_everything(error)

    @torch.inference_mode()
    def fail_everything(self, error: BaseException) -> None:
        """Answer everything pending with `error`."""
        self._take_in()
        for request in self._queue.everyone():
            self._close(request, error)

    def _take_in(self) -> None:
        """Queue what was submitted and close what was cancelled since the last step."""
        arrived, cancelled = self._inbox.take()
        for request in arrived:
            self._queue.push(request)
        for request in cancelled:
            self._close(request, SampleCancelled("The request was cancelled."))

    def _admit(self) -> None:
        """Begin requests and start further samples while there are slots and memory."""
        starting: Starting = []
        while (request := self._next_admissible(len(starting))) is not None:
            try:
                if not self.cache.fits(request.tokens_stored):
                    break
                if request.first_logits is None:
                    self._begin(request)
                else:
                    starting.append((request, self._fork(request)))
            except Exception as error:  # files that are gone, memory that is not there
                self._close(request, error)
        for request, row in starting:
            if request.closed and row is not None:  # a later fork of it failed
                self.cache.free(row)
        self._decoding.start([item for item in starting if not item[0].closed])

    def _next_admissible(self, starting: int) -> Request | None:
        used = len(self._prefilling) + len(self._decoding.running) + starting
        if used < self._slots:
            return self._queue.peek()
        if used < self._slots + self._guest_slots:
            present = {request.team for request in self._prefilling}
            present.update(request.team for request in self._decoding.requests())
            return self._queue.peek(leave_out=present)
        return None

    def _begin(self, request: Request) -> None:
        """Give a request its adapter and a row for its prompt."""
        self._queue.remove(request)
        request.times.begin()
        if request.version_name is not None:
            began = time.monotonic()
            request.version = self.versions.acquire(request.version_name, request.directory)
            if time.monotonic() - began > SLOW_LOAD_S:
                self._watch.held(request.target, "loading", began)
        request.row = self.cache.allocate(request.tokens_stored)
        request.scores = PromptScores.of(request.work)
        self._prefilling.append(request)

    def _fork(self, request: Request) -> Row:
        """A copy of the request's prompt for one more of its samples."""
        source = request.running[0].row
        assert source is not None
        row = self.cache.fork(source, request.tokens_stored, len(request.work.prompt))
        request.started += 1
        if not request.unstarted:
            self._queue.remove(request)
        return row

    def _prefill(self) -> None:
        base = self.base
        batch = PrefillBatch(self._prefilling, self._prefill_step, base.device)
        self.cache.ensure(
            [chunk.row for chunk in batch.chunks],
            [chunk.start + chunk.length for chunk in batch.chunks],
        )
        base.context.begin(batch.segments, batch.attention, batch.attention.lengths)
        base.context.inference_lora = add_lora
        try:
            hidden = base.hidden(batch.tokens, batch.positions)
        finally:
            base.context.end()
        complete: list[tuple[Request, int]] = []
        for request, chunk in zip(batch.requests, batch.chunks, strict=True):
            end = chunk.start + chunk.length
            request.prefilled = chunk.row.length = end
            self.prefill_tokens += chunk.length
            self._queue.charge(request.team, chunk.length)
            self.served[request.team, request.target] += chunk.length
            if request.scores is not None:
                rows = hidden[chunk.offset : chunk.offset + chunk.length]
                request.scores.add(base, rows, chunk.start, end, request.adapter)
            if end == len(request.work.prompt):
                complete.append((request, chunk.offset + chunk.length - 1))
        if complete:
            self._begin_samples(complete, hidden)

    def _begin_samples(self, complete: list[tuple[Request, int]], hidden: torch.Tensor) -> None:
        """Start the first samples of prefilled requests, in the prompts' rows."""
        index = [row for _, row in complete]
        index += index[:1] * (MIN_ROWS - len(index))
        segments = segments_of((request.adapter, 1) for request, _ in complete)
        first = logits(self.base, hidden[index], segments)
        starting: Starting = []
        for number, (request, _) in enumerate(complete):
            self._prefilling.remove(request)
            request.first_logits = first[number].clone()
            starting.append((request, request.row))
            request.started = 1
            if request.budget == 1:  # one token needs no place in the cache
                starting += [(request, None)] * request.unstarted
                request.started = request.work.num_samples
            elif request.unstarted:
                self._queue.push_fork(request)
        self._decoding.start(starting)

    def _close(self, request: Request, result: Result | BaseException) -> None:
        """Answer a request, once, and give back all that it holds."""
        if request.closed:
            return
        request.closed = True
        request.times.end()
        try:
            self._give_back(request)
        except Exception:  # an answer is owed all the same
            logger.exception("what a sample held could not be given back")
        try:
            request.done(result)
        except Exception:
            logger.exception("a sample's callback failed")

    def _give_back(self, request: Request) -> None:
        self._queue.end(request)
        for sequence in list(request.running):
            self._decoding.remove(sequence)
            if sequence.row is not None:
                self.cache.free(sequence.row)
        if request in self._prefilling:
            self._prefilling.remove(request)
        if request.row is not None:
            self.cache.free(request.row)
        if request.version is not None:
            self.versions.release(request.version)
        request.row = request.version = request.first_logits = None

    def _token_texts(self) -> TokenTexts:
        """The model's tokenizer, read when the first stop string comes."""
        with self._texts_lock:
            if self._texts is None:
                self._texts = load_texts(self.base.source)
            return self._texts
