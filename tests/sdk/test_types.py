"""Datums, tensors and inputs: what is accepted, what it becomes, what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tinsmith import types


def test_a_datum_takes_lists_arrays_and_tensors_alike() -> None:
    forms = {
        "list": [1.0, 0.0, 2.0],
        "numpy": np.array([1.0, 0.0, 2.0]),
        "torch": torch.tensor([1.0, 0.0, 2.0], dtype=torch.bfloat16, requires_grad=True),
        "data": types.TensorData(data=[1.0, 0.0, 2.0], dtype="float32"),
    }
    for name, weights in forms.items():
        datum = types.Datum(types.ModelInput.from_ints([1, 2, 3]), {"weights": weights})
        tensor = datum.loss_fn_inputs["weights"]
        assert (tensor.dtype, tensor.shape, tensor.tolist()) == ("float32", [3], [1, 0, 2]), name


def test_the_name_of_an_input_decides_the_dtype_of_a_list() -> None:
    datum = types.Datum(
        types.ModelInput.from_ints([1]), {"target_tokens": [[1, 2]], "advantages": [1]}
    )
    assert datum.loss_fn_inputs["target_tokens"].dtype == "int64"
    assert datum.loss_fn_inputs["target_tokens"].shape == [1, 2]
    assert datum.loss_fn_inputs["advantages"].dtype == "float32"


@pytest.mark.parametrize(
    ("inputs", "error", "words"),
    [
        ({"target_tokens": [[1, 2], [3]]}, ValueError, "rectangular"),
        ({"mine": [1.0]}, TypeError, "target_tokens, weights"),
        ({"weights": 1.0}, TypeError, "must be an array, not a float"),
        ({"weights": "12"}, TypeError, "must be an array, not text"),
        ({"weights": np.array(["a"])}, ValueError, "neither integers nor"),
    ],
)
def test_what_is_no_array_is_refused_by_name(
    inputs: dict[str, object], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        types.Datum(types.ModelInput.from_ints([1]), inputs)


def test_from_tokens_with_targets_and_weights() -> None:
    datum = types.Datum.from_tokens([5, 6, 7], [6, 7, 8], [0, 1, 0.5])
    assert datum.model_input.to_ints() == [5, 6, 7]
    assert datum.loss_fn_inputs["target_tokens"].tolist() == [6, 7, 8]
    assert datum.loss_fn_inputs["weights"].tolist() == [0, 1, 0.5]
    assert types.Datum.from_tokens([5, 6], [6, 7]).loss_fn_inputs["weights"].tolist() == [1, 1]


def test_from_tokens_of_a_whole_sequence_predicts_each_from_those_before() -> None:
    datum = types.Datum.from_tokens(np.array([5, 6, 7]), weights=[9, 0, 1])
    assert datum.model_input.to_ints() == [5, 6]
    assert datum.loss_fn_inputs["target_tokens"].tolist() == [6, 7]
    assert datum.loss_fn_inputs["weights"].tolist() == [0, 1]


def test_from_tokens_for_reinforcement_sends_no_weights() -> None:
    datum = types.Datum.from_tokens([1, 2], [2, 3], logprobs=[-1.0, -2.0], advantages=[1.0, 1.0])
    assert set(datum.loss_fn_inputs) == {"target_tokens", "logprobs", "advantages"}


def test_from_tokens_refuses_lengths_that_differ() -> None:
    with pytest.raises(ValueError, match="2 targets for 3 tokens"):
        types.Datum.from_tokens([1, 2, 3], [2, 3])
    with pytest.raises(ValueError, match="1 weights for 2 tokens"):
        types.Datum.from_tokens([1, 2], [2, 3], [1.0])


def test_sparse_tensors_round_trip() -> None:
    dense = torch.zeros(6, 40, dtype=torch.int64)
    dense[1, 3], dense[1, 39], dense[5, 0] = 7, 8, 9
    sparse = types.TensorData.from_torch_sparse(dense)
    assert sparse.sparse_crow_indices == [0, 0, 2, 2, 2, 2, 3]
    assert sparse.data == [7, 8, 9]
    assert torch.equal(sparse.to_torch(), dense)
    padded = types.TensorData.from_torch_sparse(dense - 1, pad_value=-1)
    assert torch.equal(padded.to_torch(pad_value=-1), dense - 1)
    full = types.TensorData.from_torch_sparse(torch.ones(3, 3))
    assert full.sparse_crow_indices is None
    datum = types.Datum(types.ModelInput.from_ints([1] * 6), {"target_tokens": dense})
    assert datum.loss_fn_inputs["target_tokens"].sparse_crow_indices is not None


def test_a_tensor_is_reshaped_or_refused() -> None:
    assert types.TensorData(data=[1, 2, 3, 4], dtype="int64", shape=[2, 2]).tolist() == [
        [1, 2],
        [3, 4],
    ]
    with pytest.raises(ValueError, match="reshape"):
        types.TensorData(data=[1, 2, 3], dtype="int64", shape=[2, 2])
    with pytest.raises(ValueError, match="sparse_col_indices"):
        types.TensorData(data=[1], dtype="int64", shape=[1, 2], sparse_crow_indices=[0, 1])
    with pytest.raises(ValueError, match="'int64' or 'float32'"):
        types.TensorData(data=[1], dtype="int8")  # type: ignore[arg-type]


def test_model_input_of_several_chunks() -> None:
    image = types.ImageChunk(data=b"x", format="png", expected_tokens=5)
    prompt = types.ModelInput.empty().append_int(1).append(image)
    assert prompt.length == 6
    with pytest.raises(ValueError, match="image"):
        prompt.to_ints()
    audio = types.DmelChunk(dmel=bytes([254, 3, 2, 0x90, 0x01, 8]))
    assert audio.length == 144


def test_parameters_are_checked_for_misspelt_names_and_cannot_be_changed() -> None:
    with pytest.raises(TypeError, match="lr"):
        types.AdamParams(lr=1.0)  # type: ignore[call-arg]
    params = types.AdamParams(learning_rate=1.0)
    with pytest.raises(AttributeError):
        params.learning_rate = 2.0  # type: ignore[misc]
    assert types.AdamParams().eps == 1e-12
    assert types.SamplingParams(stop=["a"]).stop == ["a"]


def test_provenance_must_cover_the_tokens() -> None:
    datum = types.Datum.from_tokens([1, 2, 3], [2, 3, 4])
    prompt = types.PromptProvenanceSpan(sequence_id="a", length=1)
    sampled = types.SampledProvenanceSpan(sequence_id="a", length=2)
    done = datum.with_provenance([prompt, sampled], [sampled, prompt])
    assert done.model_input_spans == [prompt, sampled]
    with pytest.raises(ValueError, match="cover 2 positions of 3"):
        datum.with_provenance([sampled], [sampled])
    with pytest.raises(ValueError, match="both"):
        types.Datum(datum.model_input, datum.loss_fn_inputs, model_input_spans=[prompt])


def test_checkpoint_paths() -> None:
    path = types.ParsedCheckpointTinkerPath.from_tinker_path("tinker://a:train:0/weights/s1")
    assert (path.training_run_id, path.checkpoint_type) == ("a:train:0", "training")
    assert path.checkpoint_id == "weights/s1"
    for wrong in (
        "http://a/weights/b",
        "tinker://a/b",
        "tinker://a/other/b",
        "tinker://a/weights/b/c",
    ):
        with pytest.raises(ValueError, match="is no checkpoint"):
            types.ParsedCheckpointTinkerPath.from_tinker_path(wrong)


def test_lists_become_arrays_by_the_short_way_or_by_numpys() -> None:
    for data, dtype in (
        ([1, 2, 3], "int64"),
        ([1.5, float("inf"), 2], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([1e300], "float32"),  # too large for a float32: numpy makes it infinite
        ([1.9], "int64"),
        ([], "float32"),
        ([np.int32(1), True], "int64"),
    ):
        with np.errstate(over="ignore"):
            expected = np.asarray(data, dtype=dtype)
            made = types.TensorData(data, dtype)._numpy  # type: ignore[arg-type]
        np.testing.assert_array_equal(made, expected)
        assert (made.dtype, made.flags.writeable) == (expected.dtype, True)
