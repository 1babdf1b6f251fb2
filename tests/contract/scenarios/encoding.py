"""Bytes: what a client sends for a batch, and what it reads in a result. No server is asked."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np

from .kit import Kit


def request(kit: Kit) -> str:
    """A forward_backward body with every kind of input that users give, in base64."""
    types = kit.client.types
    chunks = [types.EncodedTextChunk(tokens=[1, 2]), types.EncodedTextChunk(tokens=[2**31 - 1])]
    sparse = types.TensorData(
        data=[7, 8],
        dtype="int64",
        shape=[3, 9],
        sparse_crow_indices=[0, 1, 1, 2],
        sparse_col_indices=[4, 8],
    )
    prompt = types.PromptProvenanceSpan(sequence_id="a", length=1)
    sampled = types.SampledProvenanceSpan(sequence_id="a", offset=1, length=2)
    data = [
        kit.datum([1, 2, 3, 4], weights=[0, 1, -2.5]),
        kit.datum([1, 2, 3], weights=None, logprobs=np.array([-0.1, -1e30]), advantages=[1, 2]),
        kit.datum([5, 6, 7], target_tokens=[[1, 2], [3, 4]], weights=np.ones((2, 2))),
        types.Datum(
            model_input=types.ModelInput(chunks=chunks),
            loss_fn_inputs={
                "target_tokens": sparse,
                "mine": types.TensorData(data=[1.0], dtype="float32", shape=[1, 1]),
            },
        ),
        kit.datum([1, 2, 3, 4]).with_provenance(
            model_input=[prompt, sampled], loss_fn_inputs=[sampled, prompt]
        ),
        kit.datum([5, 6], target_tokens=np.array([6], dtype=np.int32), weights=np.ones(1, "f2")),
    ]
    config = {"clip_low_threshold": 0.9, "count": 3, "mode": "text"}
    if kit.client.__name__ == "tinsmith":
        return _ours(data, config)
    from tinker.proto.request_conv import forward_backward_request_to_proto

    body = types.ForwardBackwardRequest(
        forward_backward_input=types.ForwardBackwardInput(
            data=data, loss_fn="ppo", loss_fn_config=config
        ),
        model_id="a:train:0",
        seq_id=300,
    )
    return base64.b64encode(forward_backward_request_to_proto(body).SerializeToString()).decode()


def _ours(data: list[Any], config: dict[str, Any]) -> str:
    from tinsmith._training import codec

    settings = codec.encode_pass_settings("ppo", config, False)
    encoded = [codec.encode_datum(datum) for datum in data]
    return base64.b64encode(codec.assemble_pass("a:train:0", 300, settings, encoded)).decode()


def read_pass(kit: Kit, body: str) -> dict[str, Any]:
    """What a client makes of a ForwardBackwardOutput."""
    raw = base64.b64decode(body)
    if kit.client.__name__ == "tinsmith":
        from tinsmith._training.codec import decode_pass as read
    else:
        from tinker.proto.response_conv import deserialize_forward_backward_output as read
    result = read(raw)
    return {
        "type": result.loss_fn_output_type,
        "metrics": dict(result.metrics),
        "outputs": [
            {name: [t.dtype, list(t.shape), t.tolist()] for name, t in sorted(output.items())}
            for output in result.loss_fn_outputs
        ],
    }


def read_sample(kit: Kit, body: str) -> dict[str, Any]:
    """What a client makes of a SampleResponse."""
    raw = base64.b64decode(body)
    if kit.client.__name__ == "tinsmith":
        from tinsmith._training.codec import decode_sample as read
    else:
        from tinker.proto.response_conv import deserialize_sample_response as read
    result = read(raw)
    target = result.target_prompt_logprobs
    return {
        "sequences": [
            [part.stop_reason, part.tokens, part.logprobs, part.topk_logprobs]
            for part in result.sequences
        ],
        "prompt": result.prompt_logprobs,
        "topk": result.topk_prompt_logprobs,
        "target": None if target is None else [target.dtype, list(target.shape), target.tolist()],
        "cached": result.prompt_cache_hit_tokens,
    }
