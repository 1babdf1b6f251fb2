"""Sends forward and backward passes: batches in several requests, results put together again."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Mapping, Sequence

from tinsmith._session.futures import APIFuture
from tinsmith._session.session import Session
from tinsmith._training import batches, codec, custom_loss
from tinsmith._training.custom_loss import CustomLossFn
from tinsmith._training.lane import Lane
from tinsmith._words.mistakes import unlike
from tinsmith.types.datum import Datum
from tinsmith.types.results import ForwardBackwardOutput, GetInfoResponse
from tinsmith.wire import PROTOBUF

_MAKE = "Datum.from_tokens(tokenizer.encode(text)) makes one of a text"
Whole = Callable[[ForwardBackwardOutput], ForwardBackwardOutput]
_LARGE = 1 << 19  # bytes above which a result is decoded beside the loop


def checked(data: Sequence[Datum]) -> Sequence[Datum]:
    """The datums of a batch; raises TypeError or ValueError for what is none."""
    if isinstance(data, Datum):
        raise TypeError("data must be a list of datums, not one Datum; a list of one is [datum]")
    if isinstance(data, str | bytes | Mapping) or not hasattr(data, "__iter__"):
        raise unlike("data", "a list of datums", data, _MAKE)
    if not isinstance(data, list | tuple):
        data = list(data)
    for index, datum in enumerate(data):
        if not isinstance(datum, Datum):
            raise unlike(f"data[{index}]", "a Datum", datum, _MAKE)
    if not data:
        raise ValueError("no data: a pass needs at least one datum")
    return data


def encode(data: Sequence[Datum]) -> list[bytes]:
    """All datums as bytes; raises ValueError that says which one cannot be sent."""
    encoded = []
    for index, datum in enumerate(data):
        try:
            encoded.append(codec.encode_datum(datum))
        except (ValueError, TypeError, OverflowError, AttributeError) as error:
            raise ValueError(f"datum {index} cannot be sent: {error}") from error
    return encoded


class Passes:
    """The passes of one run. Everything here runs on the background loop."""

    def __init__(self, session: Session, lane: Lane, created: APIFuture[GetInfoResponse]) -> None:
        self._session = session
        self._lane = lane
        self._created = created

    async def run(
        self, datums: Sequence[bytes], settings: bytes, kind: str, whole: Whole, group: int = 1
    ) -> ForwardBackwardOutput:
        """One pass in its turn; `group` neighbouring datums travel in one request.

        `whole` mends what was merged from several requests.
        """
        requests = await self._lane.turn(lambda: self._send(datums, settings, group))
        merged = await self._result(requests, kind)
        return merged if len(requests) == 1 else await asyncio.to_thread(whole, merged)

    async def run_custom(
        self, data: Sequence[Datum], forward: Sequence[bytes], loss_fn: CustomLossFn
    ) -> ForwardBackwardOutput:
        """Forward, loss and backward within one turn, so that nothing gets between them."""
        metrics: dict[str, float] = {}

        def differentiate(output: ForwardBackwardOutput) -> Sequence[bytes]:
            backward, numbers = custom_loss.differentiate(loss_fn, data, output)
            metrics.update(numbers)
            return encode(backward)

        async def work() -> list[str]:
            settings = codec.encode_pass_settings(custom_loss.SERVER_LOSS, None, True)
            output = await self._result(await self._send(forward, settings), "forward")
            datums = await asyncio.to_thread(differentiate, output)
            settings = codec.encode_pass_settings(custom_loss.SERVER_LOSS, None, False)
            return await self._send(datums, settings)

        requests = await self._lane.turn(work)
        return custom_loss.result(await self._result(requests, "forward_backward"), metrics)

    async def _send(self, datums: Sequence[bytes], settings: bytes, group: int = 1) -> list[str]:
        """Send a batch in as many requests as it takes; their ids, in order."""
        config = self._session.config
        chunks = batches.split(
            datums, config.fwdbwd_max_chunk_len, config.fwdbwd_max_chunk_bytes_count, group
        )
        run = (await self._created).model_id

        async def post(chunk: Sequence[bytes], seq: int) -> str:
            body = codec.assemble_pass(run, seq, settings, chunk)
            accepted = await self._session.submit("forward_backward", body, content_type=PROTOBUF)
            return accepted.request_id

        return await self._lane.send(
            [functools.partial(post, chunk) for chunk in chunks],
            parallel=config.parallel_fwdbwd_chunks,
        )

    async def _result(self, requests: Sequence[str], kind: str) -> ForwardBackwardOutput:
        """Wait for all of a batch's requests; raises the first one's failure."""
        run = (await self._created).model_id

        async def one(request_id: str) -> ForwardBackwardOutput:
            reply = await self._session.result(request_id, target=run, kind=kind, binary=True)
            if len(reply.body) > _LARGE:
                return await asyncio.to_thread(codec.decode_pass, reply.body)
            return codec.decode_pass(reply.body)

        results = await asyncio.gather(*map(one, requests), return_exceptions=True)
        good = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            good.append(result)
        return batches.merge(good)
