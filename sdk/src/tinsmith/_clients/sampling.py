"""``SamplingClient``: draw from frozen weights."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tinsmith import errors
from tinsmith._clients import tokenizers
from tinsmith._http.transport import RetryConfig
from tinsmith._sampling import request as sample_request
from tinsmith._sampling.results import SampleResults
from tinsmith._sampling.samplers import SEQ_BLOCK, SamplerRef, join, maker
from tinsmith._session.futures import APIFuture, SampleFuture
from tinsmith._session.ready import Ready
from tinsmith._session.replies import Accepted, encode_json, numbered
from tinsmith._session.session import Session
from tinsmith._session.waiting import PATIENCE_S, Waiting
from tinsmith._settings.settings import resolve
from tinsmith._training import codec
from tinsmith._words.mistakes import explained
from tinsmith.losses import SCORE_TOKENS
from tinsmith.types.datum import scored_tokens
from tinsmith.types.inputs import ModelInput
from tinsmith.types.params import SamplingParams
from tinsmith.types.results import GetSamplerResponse, SampleResponse
from tinsmith.types.tensor import TensorData

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

MAX_RESUBMISSIONS = 5


@explained
class SamplingClient(Ready[SamplerRef]):
    """Draws tokens from a base model or from saved weights, and scores tokens.

    Made by ``ServiceClient.create_sampling_client`` or
    ``TrainingClient.save_weights_and_get_sampling_client``. It can be pickled and sent to other
    processes. A sample that is given up (``cancel()``, or a cancelled ``await``) is stopped on the
    server too.

    >>> sampler = service.create_sampling_client(base_model="tinsmith/nano-qwen3")
    >>> prompt = ModelInput.from_ints(sampler.get_tokenizer().encode("one two"))
    >>> answer = sampler.sample(prompt, 1, SamplingParams(max_tokens=8, stop=[])).result()
    >>> len(answer.sequences[0].tokens)
    8
    """

    def __init__(
        self,
        session: Session,
        create: Callable[[], Awaitable[SamplerRef]],
        *,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> None:
        """Not for direct use: the methods named above make clients."""

        async def made() -> SamplerRef:
            return await create()

        super().__init__(session.run(made()))
        self._session = session
        self._retry = retry_config
        self._record = record_stability_info
        self._numbers = itertools.count()
        self._results: SampleResults | None = None
        self._sampler: GetSamplerResponse | None = None

    def _shown(self, made: SamplerRef) -> str:
        return made.sampler_id + (f" of {made.base_model}" if made.base_model else "")

    # ---- sampling

    def sample(
        self,
        prompt: ModelInput,
        num_samples: int,
        sampling_params: SamplingParams,
        include_prompt_logprobs: bool = False,
        topk_prompt_logprobs: int = 0,
        topk_sample_logprobs: int = 0,
        target_prompt_logprobs: TensorData | None = None,
        prompt_alt_tokens_k: int = 0,
        prompt_logprobs_last_n: int | None = None,
    ) -> APIFuture[SampleResponse]:
        """Draw ``num_samples`` continuations of ``prompt``.

        Args:
            prompt: token ids, at least one.
            num_samples: how many; they share the work on the prompt.
            sampling_params: length, temperature and so on.
            include_prompt_logprobs: also score every prompt token.
            topk_prompt_logprobs, topk_sample_logprobs: also return the k likeliest tokens at every
                prompt or sampled position.
            target_prompt_logprobs: int64 [prompt length - 1, K]; row i names tokens to score at
                prompt position i + 1, -1 for none.
            prompt_alt_tokens_k: also draw this many tokens at every prompt position after the
                first.
            prompt_logprobs_last_n: score only the last n prompt tokens.

        Returns:
            A future of the samples, each with its tokens and their log-probabilities.

        Raises:
            RequestFailedError: from the future; category "user" names what is wrong with the
                request.

        >>> prompt = ModelInput.from_ints([5, 6, 7])
        >>> answer = sampler.sample(prompt, 4, SamplingParams(max_tokens=16, seed=1)).result()
        >>> [sequence.stop_reason in ("stop", "length") for sequence in answer.sequences]
        [True, True, True, True]
        """
        body = sample_request.encode(
            prompt,
            num_samples,
            sampling_params,
            prompt_logprobs=include_prompt_logprobs,
            topk_prompt_logprobs=topk_prompt_logprobs,
            topk_sample_logprobs=topk_sample_logprobs,
            target_prompt_logprobs=target_prompt_logprobs,
            prompt_alt_tokens_k=prompt_alt_tokens_k,
            prompt_logprobs_last_n=prompt_logprobs_last_n,
            record_stability_info=self._record,
        )
        return SampleFuture(self._session.run(self._sample(body)).future())

    async def sample_async(
        self,
        prompt: ModelInput,
        num_samples: int,
        sampling_params: SamplingParams,
        include_prompt_logprobs: bool = False,
        topk_prompt_logprobs: int = 0,
        topk_sample_logprobs: int = 0,
        target_prompt_logprobs: TensorData | None = None,
        prompt_alt_tokens_k: int = 0,
        prompt_logprobs_last_n: int | None = None,
    ) -> SampleResponse:
        """`sample`, waited for."""
        return await self.sample(
            prompt,
            num_samples,
            sampling_params,
            include_prompt_logprobs,
            topk_prompt_logprobs,
            topk_sample_logprobs,
            target_prompt_logprobs,
            prompt_alt_tokens_k,
            prompt_logprobs_last_n,
        )

    def compute_logprobs(
        self, prompt: ModelInput, prompt_logprobs_last_n: int | None = None
    ) -> APIFuture[list[float | None]]:
        """The log-probability of every prompt token given those before it.

        Returns:
            A future of one number a token; None for the first, and for those before the last n.

        >>> sampler.compute_logprobs(ModelInput.from_ints([5, 6, 7])).result()
        [None, -..., -...]
        """
        sampled = self.sample(
            prompt,
            1,
            SamplingParams(max_tokens=1),
            include_prompt_logprobs=True,
            prompt_logprobs_last_n=prompt_logprobs_last_n,
        )

        async def pick() -> list[float | None]:
            logprobs = (await sampled).prompt_logprobs
            if logprobs is None:
                raise errors.APIResponseValidationError("the server sent no prompt logprobs")
            return logprobs

        return SampleFuture(self._session.run(pick()).future())

    async def compute_logprobs_async(
        self, prompt: ModelInput, prompt_logprobs_last_n: int | None = None
    ) -> list[float | None]:
        """`compute_logprobs`, waited for."""
        return await self.compute_logprobs(prompt, prompt_logprobs_last_n)

    def score(self, prompt: ModelInput, completion: Sequence[int]) -> APIFuture[float]:
        """How good a reward model, trained with ``bradley_terry``, finds an answer.

        Args:
            prompt: what was asked.
            completion: the answer's token ids, at least one.

        Returns:
            A future of a number of any sign: how much likelier the first of
            ``tinsmith.losses.SCORE_TOKENS`` is than the second after the answer, as ``log p``.
            Differences between answers to one prompt are what was trained.

        >>> isinstance(sampler.score(ModelInput.from_ints([5, 6]), [7, 8]).result(), float)
        True
        """
        tokens = scored_tokens(prompt, completion)
        targets = np.full((len(tokens), 2), -1, np.int64)
        targets[-1] = SCORE_TOKENS
        sampled = self.sample(
            ModelInput.from_ints([*tokens, SCORE_TOKENS[0]]),  # what is asked about comes after
            1,
            SamplingParams(max_tokens=1),
            target_prompt_logprobs=TensorData.from_numpy(targets),
        )

        async def pick() -> float:
            found = (await sampled).target_prompt_logprobs
            if found is None:
                raise errors.APIResponseValidationError("the server sent no target logprobs")
            first, second = found.to_numpy()[-1].tolist()
            return float(first - second)

        return SampleFuture(self._session.run(pick()).future())

    async def score_async(self, prompt: ModelInput, completion: Sequence[int]) -> float:
        """`score`, waited for."""
        return await self.score(prompt, completion)

    async def _sample(self, body: dict[str, Any]) -> SampleResponse:
        ref = await self._created
        content = encode_json(body)
        if self._results is None:
            self._results = SampleResults(self._session, ref.sampler_id, ref.clone)
        async with self._session.sample_slots:
            for attempt in range(MAX_RESUBMISSIONS + 1):
                number = ref.clone * SEQ_BLOCK + next(self._numbers)
                request = numbered(content, sampling_session_id=ref.sampler_id, seq_id=number)
                submission = asyncio.ensure_future(self._submit(request))
                try:
                    return await self._drawn(submission, self._results)
                except errors.GoneError:
                    # A result lost before we had it: a sample may be drawn again
                    if submission.exception() or attempt == MAX_RESUBMISSIONS:
                        raise
        raise AssertionError("the loop returns or raises")

    async def _submit(self, body: bytes) -> Accepted:
        session = self._session
        return await session.turnstile.submit(
            lambda retry: session.submit("asample", body, retry=retry),
            self._retry or session.transport.retry,
        )

    async def _drawn(
        self, submission: asyncio.Task[Accepted], results: SampleResults
    ) -> SampleResponse:
        """What comes of one submission. Whoever stops waiting for that gives it up."""
        try:
            with results.expecting():
                # Not cut off half-way, for a request that has no name cannot be given up
                accepted = await asyncio.shield(submission)
                reply = await results.fetch(accepted.request_id)
        except asyncio.CancelledError:
            self._session.give_up(submission)
            raise
        return codec.decode_sample(reply.body, accepted.sample_sequence_ids)

    # ---- what it is

    @staticmethod
    def create(
        holder: Session,
        *,
        model_path: str | None = None,
        base_model: str | None = None,
        sampling_session_id: str | None = None,
        retry_config: RetryConfig | None = None,
        record_stability_info: bool = False,
    ) -> APIFuture[SamplingClient]:
        """A client of a new sampler, or of the one with this id; ``holder`` is a service client's.

        ``ServiceClient.create_sampling_client`` is the usual way.
        """
        if sampling_session_id is not None:
            client = SamplingClient(
                holder,
                lambda: join(holder, sampling_session_id, base_model),
                retry_config=retry_config,
                record_stability_info=record_stability_info,
            )
        else:
            client = new_sampling_client(
                holder, model_path, base_model, retry_config, record_stability_info
            )
        return APIFuture(client.future())

    def on_queue_state_change(self, queue_state: Any, queue_state_reason: str | None) -> None:
        """Tell the log, and ``ServiceClient(on_waiting=…)``, that this sampler waits, and why."""
        state = str(getattr(queue_state, "value", queue_state))
        target = self._created.result().sampler_id
        self._session.waiting.notice(
            Waiting(target, "sample", state, queue_state_reason or "", PATIENCE_S)
        )

    async def _info(self) -> GetSamplerResponse:
        ref = await self._created
        if self._sampler is None:
            if ref.base_model is not None:
                self._sampler = GetSamplerResponse(
                    sampler_id=ref.sampler_id, base_model=ref.base_model
                )
            else:
                path = f"samplers/{ref.sampler_id}"
                self._sampler = await self._session.get(path, GetSamplerResponse)
        return self._sampler

    def get_base_model(self) -> str:
        """The base model's name."""
        return self._session.run(self._info()).result().base_model

    async def get_base_model_async(self) -> str:
        """`get_base_model`, waited for."""
        return (await self._session.run(self._info())).base_model

    def get_tokenizer(self) -> PreTrainedTokenizerBase:
        """The base model's tokenizer, fetched from the server once; needs transformers."""
        return tokenizers.load(self._session, self.get_base_model(), None)

    def get_telemetry(self) -> None:
        """None: this client sends none."""
        return

    # ---- other processes

    def get_sampler_handle(self) -> str:
        """A text with which another process makes a client of the same sampler; holds no key."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self._state())).decode()

    @staticmethod
    def from_sampler_handle(handle: str, *, api_key: str | None = None) -> SamplingClient:
        """The client of a sampler another process made; raises ValueError for what is no handle."""
        try:
            state = msgspec.json.decode(base64.urlsafe_b64decode(handle))
        except (ValueError, msgspec.DecodeError) as error:
            raise ValueError(f"this is no sampler handle: {error}") from None
        return _restore(state, api_key)

    def _state(self) -> dict[str, Any]:
        ref = self._created.result()
        return {
            "base_url": self._session.settings.base_url,
            "session_id": self._session.session_id,
            "sampler_id": ref.sampler_id,
            "base_model": ref.base_model,
            "record_stability_info": self._record,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self._state(), self._session.settings.api_key)


_joined: dict[tuple[str, str, str], Session] = {}


def _restore(state: dict[str, Any], api_key: str | None) -> SamplingClient:
    """A client in another process: same session, requests numbered in a block of its own."""
    settings = resolve(state["base_url"], api_key)
    key = (settings.base_url, settings.api_key, state["session_id"])
    if key not in _joined:
        _joined[key] = Session(settings, session_id=state["session_id"])
    session = _joined[key]

    return SamplingClient(
        session,
        lambda: join(session, state["sampler_id"], state["base_model"]),
        record_stability_info=state["record_stability_info"],
    )


def new_sampling_client(
    session: Session,
    model_path: str | None,
    base_model: str | None,
    retry_config: RetryConfig | None,
    record_stability_info: bool,
) -> SamplingClient:
    """A client of a new sampler of a checkpoint or a base model; ValueError for neither."""
    return SamplingClient(
        session,
        maker(session, model_path, base_model),
        retry_config=retry_config,
        record_stability_info=record_stability_info,
    )
