"""Whatever bytes a body is made of, the worker reads work that can be validated, or a UserError."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpu_workers.engine.types import ForwardBackward, Sample, UserError
from gpu_workers.engine.validate import validate
from gpu_workers.reading import bodies, passes, samples
from operations.recordings import Recorded
from tinsmith.wire import wire_pb2

INFO: Any = SimpleNamespace(vocab_size=50, max_context_length=32, eos_token_ids=(1,))
PROTOBUF, JSON = "application/x-protobuf", "application/json"
LOSSES = ["cross_entropy", "ppo", "gspo", "stable_reinforce", "dpo", "custom", ""]
NUMBERS = st.one_of(st.integers(-2, 60), st.sampled_from([2**31, 2**63 - 1, -(2**63)]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
many = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)


def anything(sequence_ids: list[str]) -> dict[str, Recorded]:
    """Every second sequence is recorded."""
    found = Recorded(np.array([1, 2], np.int32), np.array([-1, -2], np.float32))
    return dict.fromkeys(sequence_ids[::2], found)


@st.composite
def tensors(draw: st.DrawFn) -> wire_pb2.Tensor:
    """A tensor whose parts need not belong together."""
    message = wire_pb2.Tensor(
        dtype=draw(st.integers(0, 4)), shape=draw(st.lists(NUMBERS, max_size=3))
    )
    values = np.array(draw(st.lists(st.floats(width=32), max_size=8)), "<f4").tobytes()
    values += draw(st.binary(max_size=9))
    if draw(st.booleans()):
        message.dense = values
    else:
        message.sparse_csr.values = values
        for name in ("crow_indices", "col_indices"):
            numbers = np.array(draw(st.lists(NUMBERS, max_size=6)), "<i8").tobytes()
            setattr(message.sparse_csr, name, numbers + draw(st.binary(max_size=1)))
    return message


@st.composite
def spans(draw: st.DrawFn) -> wire_pb2.ProvenanceSpan:
    tokens = wire_pb2.ProvenanceSpan.Tokens(
        sequence_id=draw(st.text(max_size=2)), offset=draw(NUMBERS), length=draw(NUMBERS)
    )
    return wire_pb2.ProvenanceSpan(
        **{draw(st.sampled_from(["prompt_tokens", "sampled_tokens"])): tokens}
    )


@st.composite
def batches(draw: st.DrawFn) -> bytes:
    """A ForwardBackwardRequest, well formed and mostly nonsense."""
    names = ["target_tokens", "weights", "logprobs", "advantages", "sequence_ratio_mask", "x"]
    data = []
    for _ in range(draw(st.integers(0, 2))):
        tokens = np.array(draw(st.lists(st.integers(-1, 50), max_size=5)), "<i4").tobytes()
        chunk = wire_pb2.Chunk(
            encoded_text=wire_pb2.EncodedTextChunk(tokens=tokens + draw(st.binary(max_size=1)))
        )
        data.append(
            wire_pb2.Datum(
                model_input=[chunk],
                loss_fn_inputs=draw(st.dictionaries(st.sampled_from(names), tensors(), max_size=5)),
                model_input_spans=draw(st.lists(spans(), max_size=2)),
                loss_fn_input_spans=draw(st.lists(spans(), max_size=2)),
            )
        )
    return wire_pb2.ForwardBackwardRequest(
        model_id="s:train:0",
        seq_id=1,
        data=data,
        loss_fn=draw(st.sampled_from(LOSSES)),
        loss_fn_config=draw(
            st.dictionaries(
                st.sampled_from(["kl_coeff", "max_ratio", "x"]), st.floats(), max_size=2
            )
        ),
    ).SerializeToString()


def read(reader: Callable[[], Any]) -> None:
    """Read a body and validate the work, as the worker does; only a UserError may come of it."""
    with contextlib.suppress(UserError):
        work = reader()
        for item in work if isinstance(work, tuple) else (work,):
            if isinstance(item, ForwardBackward | Sample):
                validate(item, INFO, 128)


@many
@given(batches())
def test_batches(body: bytes) -> None:
    read(lambda: passes.forward_backward(body, PROTOBUF, anything))


@many
@given(batches(), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=4))
def test_mutated_batches(body: bytes, changes: list[tuple[int, int]]) -> None:
    mutated = bytearray(body)
    for at, byte in changes:
        mutated[at % len(mutated)] = byte
    try:
        wire_pb2.ForwardBackwardRequest.FromString(bytes(mutated))
    except DecodeError:
        with pytest.raises(UserError):
            passes.forward_backward(bytes(mutated), PROTOBUF, anything)
        return
    read(lambda: passes.forward_backward(bytes(mutated), PROTOBUF, anything))


@many
@given(st.binary(max_size=200))
def test_noise(body: bytes) -> None:
    for reader in (
        bodies.optim_step,
        bodies.save_for_sampler,
        bodies.save_external,
        samples.sample,
    ):
        read(lambda reader=reader: reader(body))  # type: ignore[misc]
    for content_type in (PROTOBUF, JSON):
        read(lambda kind=content_type: passes.forward_backward(body, kind, anything))  # type: ignore[misc]


SAMPLE = {
    "sampling_session_id": "s:sample:0",
    "seq_id": 0,
    "prompt": {"chunks": [{"tokens": [1, 2, 3], "type": "encoded_text"}]},
    "sampling_params": {"max_tokens": 3, "temperature": 1.0},
    "target_prompt_logprobs": {"data": [1, 2], "dtype": "int64", "shape": [2, 1]},
}
PASS = {
    "model_id": "s:train:0",
    "seq_id": 1,
    "forward_backward_input": {
        "data": [
            {
                "model_input": {"chunks": [{"tokens": [1, 2]}]},
                "loss_fn_inputs": {
                    "target_tokens": {"data": [1, 2], "dtype": "int64", "shape": [2]},
                    "weights": {"data": [1, 2], "dtype": "float32"},
                },
            }
        ],
        "loss_fn": "cross_entropy",
    },
}


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a JSON value."""
    inner = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [at, *(path for key, item in inner for path in paths(item, (*at, key)))]


def changed(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy with something else at a place."""
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = changed(value[path[0]], path[1:], new)
    return copy


@many
@given(st.sampled_from(paths(SAMPLE)), VALUES)
def test_mutated_samples(path: tuple[Any, ...], new: Any) -> None:
    body = json.dumps(changed(SAMPLE, path, new)).encode()
    read(lambda: samples.sample(body))


@many
@given(
    st.sampled_from(
        [
            "num_samples",
            "topk_prompt_logprobs",
            "topk_sample_logprobs",
            "prompt_alt_tokens_k",
            "prompt_logprobs_last_n",
            "prompt_logprobs",
            "record_stability_info",
        ]
    ),
    NUMBERS | VALUES,
)
def test_options_of_samples(name: str, value: Any) -> None:
    body = json.dumps(SAMPLE | {"prompt_logprobs": True, name: value}).encode()
    read(lambda: samples.sample(body))


@many
@given(st.sampled_from(paths(PASS)), VALUES)
def test_mutated_old_batches(path: tuple[Any, ...], new: Any) -> None:
    body = json.dumps(changed(PASS, path, new)).encode()
    read(lambda: passes.forward_backward(body, JSON, anything))
