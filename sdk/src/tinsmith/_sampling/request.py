"""The body of an ``asample`` request."""

from __future__ import annotations

import base64
from typing import Any

import msgspec

from tinsmith._words.mistakes import unlike, whole
from tinsmith.types.inputs import (
    DmelChunk,
    EncodedTextChunk,
    ImageAssetPointerChunk,
    ImageChunk,
    ModelInput,
    check_input,
)
from tinsmith.types.params import SamplingParams
from tinsmith.types.tensor import TensorData
from tinsmith.types.tokens import check_tokens


def encode(
    prompt: ModelInput,
    num_samples: int,
    sampling_params: SamplingParams,
    *,
    target_prompt_logprobs: TensorData | None,
    **options: Any,
) -> dict[str, Any]:
    """All of it but the sampler and the number; None values mean "not set".

    Raises:
        ValueError: ``target_prompt_logprobs`` is of another type or rank than it must be.
        TypeError: an argument of another kind; the message says what makes the right one of it.
    """
    check_input(prompt, "prompt")
    if type(num_samples) is not int:
        num_samples = whole("num_samples", num_samples)
    if not isinstance(sampling_params, SamplingParams):
        raise unlike(
            "sampling_params",
            "SamplingParams",
            sampling_params,
            "e.g. SamplingParams(max_tokens=64)",
        )
    if target_prompt_logprobs is not None and (
        target_prompt_logprobs.dtype != "int64" or len(target_prompt_logprobs.shape or ()) != 2
    ):
        raise ValueError(
            "target_prompt_logprobs must be int64 of shape [prompt length - 1, K], "
            f"not {target_prompt_logprobs!r}"
        )
    return {
        "num_samples": num_samples,
        "prompt": {"chunks": [_chunk(chunk) for chunk in prompt.chunks]},
        "sampling_params": _params(sampling_params),
        "target_prompt_logprobs": target_prompt_logprobs and _tensor(target_prompt_logprobs),
        **options,
        "type": "sample",
    }


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
        check_tokens(tokens)
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
