"""Our SDK writes and reads the same bytes as the public client. No server takes part."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import numpy as np
import pytest

from tests.contract.clients import OURS, PUBLIC, Client
from tinsmith import wire


@pytest.fixture(scope="module")
def both() -> Iterator[tuple[Client, Client]]:
    """The public client and ours, with an address they never use."""
    pair = Client(PUBLIC, "http://127.0.0.1:9", "tml-x"), Client(OURS, "http://127.0.0.1:9", "x")
    yield pair
    for one in pair:
        one.close()


def test_requests_are_the_same(both: tuple[Client, Client]) -> None:
    public, ours = (
        wire.ForwardBackwardRequest.FromString(base64.b64decode(one.run("encoding.request")))
        for one in both
    )
    assert len(public.data) == len(ours.data) == 6
    for theirs, mine in zip(public.data, ours.data, strict=True):
        assert theirs == mine
    assert public == ours


def test_results_are_read_the_same(both: tuple[Client, Client]) -> None:
    message = wire.ForwardBackwardOutput(loss_fn_output_type="x:ArrayRecord")
    message.metrics["loss:sum"] = 1.5
    for dtype, code, trailing in (
        (wire.DTYPE_FLOAT32, "<f4", []),
        (wire.DTYPE_BFLOAT16, "<u2", []),
        (wire.DTYPE_INT32, "<i4", [2]),
        (wire.DTYPE_INT64, "<i8", []),
    ):
        record = message.loss_fn_outputs.add(num_datums=2)
        field = record.fields["logprobs"]
        values = np.arange(1, 7).astype(code)
        field.dtype, field.data = dtype, values.tobytes()
        width = values.dtype.itemsize
        field.offsets = np.array([0, 2 * width, 6 * width], "<i8").tobytes()
        field.trailing_shape.extend(trailing)
    body = base64.b64encode(message.SerializeToString()).decode()
    public, ours = (one.run("encoding.read_pass", body=body) for one in both)
    assert len(public["outputs"]) == 8
    assert public == ours


def test_samples_are_read_the_same(both: tuple[Client, Client]) -> None:
    message = wire.SampleResponse(prompt_cache_hit_tokens=2)
    message.prompt_logprobs = np.array([np.nan, -1.5], "<f4").tobytes()
    message.topk_prompt_logprobs.CopyFrom(
        wire.TopkLogprobs(
            token_ids=np.array([0, 0, 3, 0], "<i4").tobytes(),
            logprobs=np.array([-99999, -99999, -0.5, -99999], "<f4").tobytes(),
            k=2,
            length=2,
        )
    )
    message.target_prompt_logprobs.dtype = wire.DTYPE_FLOAT32
    message.target_prompt_logprobs.shape.extend([1, 2])
    message.target_prompt_logprobs.dense = np.array([-1, -2], "<f4").tobytes()
    full = message.sequences.add(tokens=np.array([4], "<i4").tobytes())
    full.logprobs = np.array([-0.25], "<f4").tobytes()
    message.sequences.add(stop_reason=wire.STOP_REASON_LENGTH)
    body = base64.b64encode(message.SerializeToString()).decode()
    public, ours = (one.run("encoding.read_sample", body=body) for one in both)
    assert public["prompt"] == [None, -1.5]
    assert public == ours
