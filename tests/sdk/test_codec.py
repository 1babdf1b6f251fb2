"""Bytes on the wire, and back."""

from __future__ import annotations

import numpy as np
import pytest

from tinsmith import errors, types, wire
from tinsmith._training import batches, codec


def assemble(*data: types.Datum, seq: int = 3) -> wire.ForwardBackwardRequest:
    settings = codec.encode_pass_settings("ppo", {"clip_low_threshold": 0.5, "mode": "x"}, True)
    body = codec.assemble_pass("run", seq, settings, [codec.encode_datum(datum) for datum in data])
    return wire.ForwardBackwardRequest.FromString(body)


def test_a_pass_is_what_the_message_says() -> None:
    text = types.EncodedTextChunk(tokens=[4, 5])
    image = types.ImageChunk(data=b"png", format="png", expected_tokens=1)
    datum = types.Datum(
        types.ModelInput(chunks=[text, image]),
        {"target_tokens": [1, 2, 3], "weights": [[1.0], [2.0], [3.0]]},
    )
    request = assemble(datum, datum)
    assert (request.model_id, request.seq_id, request.loss_fn) == ("run", 3, "ppo")
    assert request.forward_only
    assert dict(request.loss_fn_config) == {"clip_low_threshold": 0.5}
    assert request.loss_fn_config_v2["clip_low_threshold"].number == 0.5
    assert request.loss_fn_config_v2["mode"].text == "x"
    assert len(request.data) == 2
    first = request.data[0]
    assert first.model_input[0].encoded_text.tokens == np.array([4, 5], "<i4").tobytes()
    assert first.model_input[1].image.expected_tokens == 1
    weights = first.loss_fn_inputs["weights"]
    assert (weights.dtype, list(weights.shape)) == (wire.DTYPE_FLOAT32, [3, 1])
    assert weights.dense == np.array([1, 2, 3], "<f4").tobytes()
    assert first.loss_fn_inputs["target_tokens"].dtype == wire.DTYPE_INT64


def test_the_ids_come_first_so_that_the_server_finds_them_in_a_long_body() -> None:
    datum = codec.encode_datum(types.Datum.from_tokens(list(range(1000))))
    body = codec.assemble_pass("run", 300, b"", [datum])
    head = wire.ForwardBackwardRequest.FromString(body[: 2 + len("run") + 3])
    assert (head.model_id, head.seq_id) == ("run", 300)


def test_sparse_tensors_and_spans_are_written() -> None:
    sparse = types.TensorData([4, 5], "int64", [2, 9], [0, 1, 2], [3, 8])
    span = types.SampledProvenanceSpan(sequence_id="q", offset=1, length=2)
    datum = types.Datum(types.ModelInput.from_ints([1, 2]), {"target_tokens": sparse})
    message = assemble(datum.with_provenance([span], [span])).data[0]
    csr = message.loss_fn_inputs["target_tokens"].sparse_csr
    assert np.frombuffer(csr.crow_indices, "<i8").tolist() == [0, 1, 2]
    assert np.frombuffer(csr.col_indices, "<i8").tolist() == [3, 8]
    assert message.model_input_spans[0].sampled_tokens.sequence_id == "q"
    back = codec.read_tensor(message.loss_fn_inputs["target_tokens"])
    assert back.to_numpy().tolist() == sparse.to_numpy().tolist()


@pytest.mark.parametrize(
    ("tokens", "words"),
    [([1.5], "integers"), ([2**31], "32 bits"), ([[1, 2]], "flat list"), ([-(2**40)], "32 bits")],
)
def test_tokens_that_are_none_are_refused(tokens: list[int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        codec.encode_tokens(tokens)
    assert codec.encode_tokens([]) == b""
    assert codec.encode_tokens(np.array([1], dtype=np.uint8)) == b"\1\0\0\0"  # type: ignore[arg-type]


def test_outputs_of_several_records_are_joined() -> None:
    message = wire.ForwardBackwardOutput(loss_fn_output_type="x:ArrayRecord")
    message.metrics["loss:sum"] = 2.0
    first = message.loss_fn_outputs.add(num_datums=2).fields["logprobs"]
    first.dtype = wire.DTYPE_FLOAT32
    first.data = np.array([1, 2, 3], "<f4").tobytes()
    first.offsets = np.array([0, 4, 12], "<i8").tobytes()
    second = message.loss_fn_outputs.add().fields["logprobs"]
    second.dtype = wire.DTYPE_BFLOAT16
    second.data = (
        np.array([1.5, -2.0, 0.5, 8.0], "<f4").view("<u4").__rshift__(16).astype("<u2").tobytes()
    )
    second.offsets = np.array([0, 8], "<i8").tobytes()
    second.trailing_shape.append(2)
    output = codec.decode_pass(message.SerializeToString())
    assert output.loss_fn_output_type == "ArrayRecord"
    assert output.loss == 2.0
    found = [record["logprobs"].tolist() for record in output.loss_fn_outputs]
    assert found == [[1], [2, 3], [[1.5, -2.0], [0.5, 8.0]]]


def test_an_empty_datum_between_others_keeps_its_place() -> None:
    message = wire.ForwardBackwardOutput()
    column = message.loss_fn_outputs.add(num_datums=3).fields["ids"]
    column.dtype = wire.DTYPE_INT32
    column.data = np.array([7, 8], "<i4").tobytes()
    column.offsets = np.array([0, 4, 4, 8], "<i8").tobytes()
    output = codec.decode_pass(message.SerializeToString())
    assert [record["ids"].tolist() for record in output.loss_fn_outputs] == [[7], [], [8]]
    assert codec.decode_pass(b"").loss_fn_outputs == []


def test_samples_are_read_in_full() -> None:
    message = wire.SampleResponse(prompt_cache_hit_tokens=3)
    part = message.sequences.add(tokens=np.array([4, 5], "<i4").tobytes())
    part.logprobs = np.array([-1, -2], "<f4").tobytes()
    part.topk_sampled_logprobs.CopyFrom(
        wire.TopkLogprobs(
            token_ids=np.array([4, 9, 5, 0], "<i4").tobytes(),
            logprobs=np.array([-1, -3, -2, -99999], "<f4").tobytes(),
            k=2,
            length=2,
        )
    )
    message.sequences.add(stop_reason=wire.STOP_REASON_LENGTH)
    message.prompt_logprobs = np.array([np.nan, -0.5], "<f4").tobytes()
    message.prompt_alt_tokens.tokens.dtype = wire.DTYPE_INT64
    message.prompt_alt_tokens.tokens.shape.extend([1, 2])
    message.prompt_alt_tokens.tokens.dense = np.array([1, 2], "<i8").tobytes()
    response = codec.decode_sample(message.SerializeToString(), ["a", "b"])
    first, second = response.sequences
    assert (first.tokens, first.logprobs, first.stop_reason) == ([4, 5], [-1, -2], "stop")
    assert first.topk_logprobs == [[(4, -1), (9, -3)], [(5, -2)]]
    assert (second.tokens, second.logprobs, second.stop_reason) == ([], None, "length")
    assert [first.sequence_id, second.sequence_id] == ["a", "b"]
    assert response.prompt_logprobs == [None, -0.5]
    assert response.prompt_alt_tokens is not None
    assert response.prompt_alt_tokens.tokens.tolist() == [[1, 2]]
    assert response.topk_prompt_logprobs is None


def test_garbage_is_named_as_such() -> None:
    with pytest.raises(errors.APIResponseValidationError, match="ForwardBackwardOutput"):
        codec.decode_pass(b"\xff\xff\xff")


def test_batches_are_split_by_number_and_by_bytes() -> None:
    def sizes(*lengths: int, count: int = 3, size: int = 10) -> list[list[int]]:
        chunks = batches.split([b"x" * n for n in lengths], count, size)
        return [[len(datum) for datum in chunk] for chunk in chunks]

    assert sizes(1, 1, 1, 1) == [[1, 1, 1], [1]]
    assert sizes(6, 4, 1) == [[6, 4], [1]]
    assert sizes(99, 1, 99) == [[99], [1], [99]]
    assert sizes(5) == [[5]]
    assert [len(chunk) for chunk in batches.split([b""] * 2500)] == [1024, 1024, 452]


def test_what_belongs_together_is_not_split() -> None:
    def sizes(*lengths: int, count: int = 3, size: int = 10) -> list[list[int]]:
        chunks = batches.split([b"x" * n for n in lengths], count, size, group=2)
        return [[len(datum) for datum in chunk] for chunk in chunks]

    assert sizes(1, 1, 1, 1) == [[1, 1], [1, 1]]
    assert sizes(1, 1, 1, 1, count=4) == [[1, 1, 1, 1]]
    assert sizes(3, 3, 3, 3, 1, 1, count=9) == [[3, 3], [3, 3, 1, 1]]
    assert sizes(9, 9, 1, 1, 9, 9, count=9) == [[9, 9], [1, 1], [9, 9]]
    assert sizes(1, 1, 1, 1, count=1) == [[1, 1], [1, 1]]


def test_metrics_are_merged_as_their_names_say() -> None:
    def result(n: int, **metrics: float) -> types.ForwardBackwardOutput:
        named = {name.replace("__", ":"): value for name, value in metrics.items()}
        return types.ForwardBackwardOutput("ArrayRecord", [{}] * n, named)

    merged = batches.merge(
        [
            result(
                1, a__sum=1, b__mean=1, c__min=1, d__max=1, e__slack=1, f__hash2=2.0**63, g__x=1
            ),
            result(
                3, a__sum=2, b__mean=5, c__min=0, d__max=7, e__slack=5, f__hash2=2.0**63, g__x=1
            ),
        ]
    )
    assert len(merged.loss_fn_outputs) == 4
    assert merged.metrics == {
        "a:sum": 3,
        "b:mean": 4,
        "c:min": 0,
        "d:max": 7,
        "e:slack": 1,
        "f:hash2": 0,
    }
    merged = batches.merge([result(1, u__unique=1, only__sum=1), result(1, u__unique=2)])
    assert merged.metrics == {"u:unique": 1, "u:unique_1": 2}
    assert batches.merge([result(0, m__mean=2), result(0, m__mean=4)]).metrics == {"m:mean": 3}
