"""``SamplingClient``: draw from frozen weights."""

from __future__ import annotations

import asyncio
import base64
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from tinsmith import codec, errors, tokenizers
from tinsmith.futures import APIFuture
from tinsmith.ready import Ready
from tinsmith.session import Session, encode_json
from tinsmith.settings import resolve
from tinsmith.transport import RetryConfig
from tinsmith.types.inputs import (
    DmelChunk,
    EncodedTextChunk,
    ImageAssetPointerChunk,
    ImageChunk,
    ModelInput,
)
from tinsmith.types.params import SamplingParams
from tinsmith.types.results import GetSamplerResponse, SampleResponse
from tinsmith.types.tensor import TensorData
from tinsmith.waiting import PATIENCE_S, Waiting

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

T = TypeVar("T")

SEQ_BLOCK = 1_000_000_000  # copies of a client in other processes number their requests in blocks
MAX_RESUBMISSIONS = 5


@dataclass(frozen=True)
class SamplerRef:
    """Which sampler it is; the base model's name where it is known."""

    sampler_id: str
    base_model: str | None = None


class SamplingClient(Ready[SamplerRef]):
    """Draws tokens from a base model or from saved weights, and scores tokens.

    Made by ``ServiceClient.create_sampling_client`` or
    ``TrainingClient.save_weights_and_get_sampling_client``. It can be pickled and sent to other
    processes.

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
        first_seq: int = 0,
    ) -> None:
        """Not for direct use: the methods named above make clients."""

        async def made() -> SamplerRef:
            return await create()

        super().__init__(session.run(made()))
        self._session = session
        self._retry = retry_config
        self._record = record_stability_info
        self._next_seq = first_seq
        self._sampler: GetSamplerResponse | None = None

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
        if target_prompt_logprobs is not None and (
            target_prompt_logprobs.dtype != "int64" or len(target_prompt_logprobs.shape or ()) != 2
        ):
            raise ValueError(
                "target_prompt_logprobs must be int64 of shape [prompt length - 1, K], "
                f"not {target_prompt_logprobs!r}"
            )
        body: dict[str, Any] = {
            "num_samples": num_samples,
            "prompt": {"chunks": [_chunk(chunk) for chunk in prompt.chunks]},
            "sampling_params": _params(sampling_params),
            "prompt_logprobs": include_prompt_logprobs,
            "topk_prompt_logprobs": topk_prompt_logprobs,
            "topk_sample_logprobs": topk_sample_logprobs,
            "target_prompt_logprobs": target_prompt_logprobs and _tensor(target_prompt_logprobs),
            "prompt_alt_tokens_k": prompt_alt_tokens_k,
            "prompt_logprobs_last_n": prompt_logprobs_last_n,
            "record_stability_info": self._record,
            "type": "sample",
        }
        return self._session.run(self._sample(body))

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
        """`sample`, waited for. Cancelling the wait gives up the request."""
        return await _or_give_up(
            self.sample(
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

        return self._session.run(pick())

    async def compute_logprobs_async(
        self, prompt: ModelInput, prompt_logprobs_last_n: int | None = None
    ) -> list[float | None]:
        """`compute_logprobs`, waited for."""
        return await _or_give_up(self.compute_logprobs(prompt, prompt_logprobs_last_n))

    async def _sample(self, body: dict[str, Any]) -> SampleResponse:
        sampler = (await self._created).sampler_id
        body["sampling_session_id"] = sampler
        async with self._session.sample_slots:
            for attempt in range(MAX_RESUBMISSIONS + 1):
                body["seq_id"] = self._next_seq
                self._next_seq += 1
                accepted = await self._session.submit(
                    "asample", encode_json(body), retry=self._retry
                )
                try:
                    reply = await self._session.result(
                        accepted.request_id, target=sampler, kind="sample", binary=True
                    )
                except errors.GoneError:
                    # The result was lost before we had it: a sample may be drawn again
                    if attempt == MAX_RESUBMISSIONS:
                        raise
                    continue
                return codec.decode_sample(reply.body, accepted.sample_sequence_ids)
        raise AssertionError("the loop returns or raises")

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
            known = SamplerRef(sampling_session_id, base_model)

            async def found() -> SamplerRef:
                await holder.open()
                return known

            client = SamplingClient(
                holder,
                found,
                retry_config=retry_config,
                record_stability_info=record_stability_info,
                first_seq=_own_block(),
            )
        else:
            from tinsmith.samplers import new_sampling_client

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

    async def found() -> SamplerRef:
        await session.open()
        return SamplerRef(state["sampler_id"], state["base_model"])

    return SamplingClient(
        session,
        found,
        record_stability_info=state["record_stability_info"],
        first_seq=_own_block(),
    )


def _own_block() -> int:
    """Where a copy of a client begins to number: every copy has a block of its own."""
    return SEQ_BLOCK * random.SystemRandom().randint(1, SEQ_BLOCK)


async def _or_give_up(future: APIFuture[T]) -> T:
    try:
        return await future
    except asyncio.CancelledError:
        future.cancel()
        raise


def _params(params: SamplingParams) -> dict[str, Any]:
    """As JSON: an absent stop means the model's end tokens, an empty one means none."""
    body = {
        name: value for name, value in msgspec.structs.asdict(params).items() if value is not None
    }
    stop = body.get("stop")
    if stop is not None and not isinstance(stop, str):
        body["stop"] = [part if isinstance(part, str) else int(part) for part in stop]
    return body


def _chunk(chunk: Any) -> dict[str, Any]:
    """A chunk as JSON."""
    if isinstance(chunk, EncodedTextChunk):
        tokens = chunk.tokens
        listed = tokens.tolist() if hasattr(tokens, "tolist") else list(tokens)
        return {"tokens": listed, "type": "encoded_text"}
    if isinstance(chunk, ImageChunk):
        body: dict[str, Any] = {
            "type": "image",
            "data": base64.b64encode(chunk.data).decode(),
            "format": chunk.format,
            "expected_tokens": chunk.expected_tokens,
        }
    elif isinstance(chunk, DmelChunk):
        body = {"type": "dmel", "dmel": base64.b64encode(chunk.dmel).decode()}
    elif isinstance(chunk, ImageAssetPointerChunk):
        body = msgspec.structs.asdict(chunk)
    else:
        raise TypeError(f"a prompt is made of chunks, not of {type(chunk).__name__}")
    return {name: value for name, value in body.items() if value is not None}


def _tensor(tensor: TensorData) -> dict[str, Any]:
    """A tensor as JSON."""
    body = {
        "data": tensor.data,
        "dtype": tensor.dtype,
        "shape": tensor.shape,
        "sparse_crow_indices": tensor.sparse_crow_indices,
        "sparse_col_indices": tensor.sparse_col_indices,
    }
    return {name: value for name, value in body.items() if value is not None}
