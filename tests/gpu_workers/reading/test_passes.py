"""Batches as clients send them, read into work: sparse tensors, old JSON, provenance."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from gpu_workers.engine.types import ForwardBackward, UserError
from gpu_workers.reading import passes, samples, tensors
from gpu_workers.reading.provenance import Span, use
from operations.recordings import Recorded
from tinsmith.wire import wire_pb2

PROTOBUF = "application/x-protobuf"
DTYPES = {"float32": (wire_pb2.DTYPE_FLOAT32, "<f4"), "int64": (wire_pb2.DTYPE_INT64, "<i8")}


def nothing(sequence_ids: list[str]) -> dict[str, Recorded]:
    return {}


def tensor(values: Any, dtype: str, shape: Any = None, csr: Any = None) -> wire_pb2.Tensor:
    """A tensor message; `csr` = (crow, col) makes it sparse."""
    code, encoding = DTYPES[dtype]
    array = np.asarray(values).astype(encoding)
    message = wire_pb2.Tensor(dtype=code, shape=array.shape if shape is None else shape)
    if csr is None:
        message.dense = array.tobytes()
    else:
        message.sparse_csr.values = array.tobytes()
        message.sparse_csr.crow_indices = np.asarray(csr[0], "<i8").tobytes()
        message.sparse_csr.col_indices = np.asarray(csr[1], "<i8").tobytes()
    return message


def body(*data: wire_pb2.Datum, **fields: Any) -> bytes:
    fields = {"loss_fn": "cross_entropy", **fields}
    return wire_pb2.ForwardBackwardRequest(
        model_id="s:train:0", seq_id=1, data=data, **fields
    ).SerializeToString()


def datum(count: int, **inputs: wire_pb2.Tensor) -> wire_pb2.Datum:
    tokens = np.arange(count, dtype="<i4").tobytes()
    chunk = wire_pb2.Chunk(encoded_text=wire_pb2.EncodedTextChunk(tokens=tokens))
    return wire_pb2.Datum(model_input=[chunk], loss_fn_inputs=inputs)


def read(content: bytes) -> ForwardBackward:
    return passes.forward_backward(content, PROTOBUF, nothing)


def sparse(**changes: Any) -> wire_pb2.Datum:
    """A datum of 4 tokens whose [4, 40] targets and weights list 5 cells."""
    given = {"shape": [4, 40], "csr": ([0, 2, 2, 4, 5], [0, 7, 3, 39, 1])} | changes
    return datum(
        4,
        target_tokens=tensor([5, 6, 7, 8, 9], "int64", **given),
        weights=tensor([0.1, 0.2, 0.3, 0.4, 0.5], "float32", **given),
    )


def test_unlisted_cells_are_zero() -> None:
    (found,) = read(body(sparse())).data
    targets, weights = found.inputs["target_tokens"], found.inputs["weights"]
    assert (targets.shape, targets.dtype, weights.dtype) == ((4, 40), np.int64, np.float32)
    assert targets[0, 7] == 6
    assert targets[2, [3, 39]].tolist() == [7, 8]
    assert np.count_nonzero(targets) == np.count_nonzero(weights) == 5
    assert weights[3, 1] == np.float32(0.5)
    assert not targets[1].any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"shape": [4]}, r"\[N, K\]"),
        ({"shape": [4, -1]}, r"\[N, K\]"),
        ({"shape": [4, 2**40]}, r"\[N, K\]"),
        ({"shape": [3, 40]}, "crow_indices must be 4 numbers"),
        ({"csr": ([0, 2, 1, 4, 5], [0, 7, 3, 39, 1])}, "must not fall"),
        ({"csr": ([0, 2**62, -(2**62), 4, 5], [0, 7, 3, 39, 1])}, "must not fall"),
        ({"csr": ([0, 2, 2, 4, 4], [0, 7, 3, 39, 1])}, "to the 5 values"),
        ({"csr": ([0, 2, 2, 4, 5], [0, 7, 3, 40, 1])}, "column 40"),
        ({"csr": ([0, 2, 2, 4, 5], [0, 7, -3, 39, 1])}, "column -3"),
        ({"csr": ([0, 2, 2, 4, 5], [0, 7, 3, 39])}, "4 col_indices for 5"),
        ({"csr": ([0, 2, 2, 4, 5], [7, 0, 3, 39, 1])}, "must rise"),
        ({"csr": ([0, 2, 2, 4, 5], [7, 7, 3, 39, 1])}, "must rise"),
    ],
)
def test_mistakes_in_sparse_tensors(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read(body(sparse(**changes)))


def test_a_few_bytes_cannot_ask_for_gigabytes() -> None:
    rows = 4096
    wide = {"shape": [rows, tensors.MAX_SPREAD // rows], "csr": ([0] * (rows + 1), [])}
    one = datum(rows, target_tokens=tensor([], "int64", **wide))
    with pytest.raises(UserError, match="cells together"):
        read(body(one, one))


def json_body(**changes: Any) -> bytes:
    """A batch as release 0.16 sends it."""
    given = {
        "data": [
            {
                "model_input": {"chunks": [{"tokens": [1, 2]}, {"tokens": [3]}]},
                "loss_fn_inputs": {
                    "target_tokens": {"data": [2, 3, 4], "dtype": "int64", "shape": [3]},
                    "weights": {"data": [1.0, 0, -2.5], "dtype": "float32", "shape": None},
                },
            }
        ],
        "loss_fn": "cross_entropy",
        "loss_fn_config": None,
    } | changes
    return json.dumps(
        {"forward_backward_input": given, "model_id": "s:train:0", "seq_id": 2}
    ).encode()


def test_old_json() -> None:
    work = passes.forward_backward(json_body(), "application/json", nothing)
    (found,) = work.data
    assert (work.loss_fn, work.loss_config, work.forward_only) == ("cross_entropy", {}, False)
    assert found.tokens.tolist() == [1, 2, 3]
    assert found.inputs["target_tokens"].dtype == np.int64
    assert found.inputs["weights"].tolist() == [1.0, 0.0, -2.5]
    forward = json_body().replace(b"forward_backward_input", b"forward_input")
    assert passes.forward_backward(forward, "application/json", nothing).forward_only


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("target_tokens", {"data": [1.5, 2, 3], "dtype": "int64"}, "whole numbers"),
        ("target_tokens", {"data": [2**70, 2, 3], "dtype": "int64"}, "64 bits|valid JSON"),
        ("weights", {"data": [1, 2], "dtype": "float32", "shape": [3]}, "does not fit"),
        ("weights", {"data": [1], "dtype": "float64"}, "dtype"),
        ("weights", {"data": ["x"], "dtype": "float32"}, "data"),
    ],
)
def test_mistakes_in_old_json(name: str, value: Any, message: str) -> None:
    data = json.loads(json_body())["forward_backward_input"]["data"]
    data[0]["loss_fn_inputs"][name] = value
    with pytest.raises(UserError, match=message):
        passes.forward_backward(json_body(data=data), "application/json", nothing)


def test_images_and_uploaded_losses_are_refused_by_name() -> None:
    image = wire_pb2.Datum(model_input=[wire_pb2.Chunk(image=wire_pb2.ImageChunk(format="png"))])
    with pytest.raises(UserError, match=r"'image'.*encoded_text"):
        read(body(image))
    chunk = {"type": "dmel", "dmel": ""}
    data = [{"model_input": {"chunks": [chunk]}, "loss_fn_inputs": {}}]
    with pytest.raises(UserError, match=r"'dmel'.*encoded_text"):
        passes.forward_backward(json_body(data=data), "application/json", nothing)


class TestProvenance:
    """Spans give stable_reinforce its mask, and the logprobs that were not sent."""

    RECORDED = {
        "s:sample:0:4:0": Recorded(
            np.array([7, 8, 9], np.int32), np.array([-0.7, -0.8, -0.9], np.float32)
        )
    }

    def work(self, **inputs: Any) -> ForwardBackward:
        given = {
            "target_tokens": np.array([0, 0, 8, 9]),
            "advantages": np.array([0, 0, 1, 1], np.float32),
        } | inputs
        from gpu_workers.engine.types import Datum

        return ForwardBackward([Datum(np.arange(4, dtype=np.int32), given)], "stable_reinforce")

    def spans(self, name: str = "s:sample:0:4:0", offset: int = 1) -> list[list[Span] | None]:
        return [[Span(name, 1, 2, sampled=False), Span(name, offset, 2, sampled=True)]]

    def find(self, sequence_ids: list[str]) -> dict[str, Recorded]:
        return {name: self.RECORDED[name] for name in sequence_ids if name in self.RECORDED}

    def test_what_was_recorded_is_used(self) -> None:
        work = self.work()
        use(work, self.spans(), self.find)
        inputs = work.data[0].inputs
        assert inputs["sequence_ratio_mask"].tolist() == [0, 0, 1, 1]
        np.testing.assert_allclose(inputs["logprobs"], [0, 0, -0.8, -0.9])

    def test_what_is_sent_stands(self) -> None:
        sent = np.full(4, -2, np.float32)
        work = self.work(logprobs=sent)
        use(work, self.spans("nobody's"), nothing)
        assert work.data[0].inputs["logprobs"] is sent

    @pytest.mark.parametrize(
        ("inputs", "name", "offset", "message"),
        [
            ({}, "other", 1, "nothing is recorded of the sequence other"),
            ({}, "s:sample:0:4:0", 2, "has 3 tokens, a span ends at 4"),
            ({}, "s:sample:0:4:0", 0, "differ from the tokens that were sampled"),
            ({"advantages": np.ones(4, np.float32)}, "s:sample:0:4:0", 1, "advantage at position"),
        ],
    )
    def test_mistakes(self, inputs: Any, name: str, offset: int, message: str) -> None:
        with pytest.raises(UserError, match=message):
            use(self.work(**inputs), self.spans(name, offset), self.find)

    def test_spans_tile_what_they_annotate(self) -> None:
        one = datum(3, target_tokens=tensor([1, 2, 3], "int64"))
        span = wire_pb2.ProvenanceSpan(
            sampled_tokens=wire_pb2.ProvenanceSpan.Tokens(sequence_id="a", length=2)
        )
        one.model_input_spans.append(span)
        with pytest.raises(UserError, match="model_input cover 2 positions, there are 3"):
            read(body(one, loss_fn="stable_reinforce"))


def test_targets_of_prompts() -> None:
    def ask(table: Any) -> bytes:
        return json.dumps(
            {
                "sampling_session_id": "s:sample:0",
                "seq_id": 0,
                "prompt": {"chunks": [{"tokens": [1, 2, 3]}]},
                "sampling_params": {"max_tokens": 1},
                "target_prompt_logprobs": table,
            }
        ).encode()

    dense, _ = samples.sample(ask({"data": [5, -1, 6, 7], "dtype": "int64", "shape": [2, 2]}))
    assert dense.prompt_targets is not None
    assert dense.prompt_targets.rows.tolist() == [0, 0, 1, 1]
    csr = {"sparse_crow_indices": [0, 0, 2], "sparse_col_indices": [0, 9]}
    listed, _ = samples.sample(ask({"data": [6, 7], "dtype": "int64", "shape": [2, 10]} | csr))
    assert listed.prompt_targets is not None
    assert listed.prompt_targets.rows.tolist() == [1, 1]
    assert listed.prompt_targets.shape == (2, 10)
    for wrong in ({"data": [1.0], "dtype": "float32"}, {"data": [1, 2], "dtype": "int64"}):
        with pytest.raises(UserError, match=r"\[len\(prompt\) - 1, K\]"):
            samples.sample(ask(wrong))
