"""Runs, batches and polls over plain HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import numpy as np

from tinsmith.wire import wire_pb2

BASE_MODEL = "tinsmith/nano-qwen3"
PROTOBUF = {"Content-Type": "application/x-protobuf", "Accept": "application/x-protobuf"}


def new_session(http: httpx.Client) -> str:
    """A session's id."""
    return http.post("create_session", json={}).json()["session_id"]


def new_run(http: httpx.Client, session: str | None = None, number: int = 0) -> str:
    """A training run's id; always the same adapter."""
    body = {
        "session_id": session or new_session(http),
        "model_seq_id": number,
        "base_model": BASE_MODEL,
        "lora_config": {"rank": 4, "seed": 7},
    }
    return http.post("create_model", json=body).json()["model_id"]


def batch(run: str, seq: int, *, length: int = 8, seed: int = 0) -> bytes:
    """One datum of plain tokens, as a ForwardBackwardRequest."""
    tokens = np.random.default_rng(seed).integers(97, 123, length + 1)
    return wire_pb2.ForwardBackwardRequest(
        model_id=run,
        seq_id=seq,
        loss_fn="cross_entropy",
        data=[
            wire_pb2.Datum(
                model_input=[
                    wire_pb2.Chunk(
                        encoded_text=wire_pb2.EncodedTextChunk(
                            tokens=tokens[:-1].astype("<i4").tobytes()
                        )
                    )
                ],
                loss_fn_inputs={
                    "target_tokens": wire_pb2.Tensor(
                        dense=tokens[1:].astype("<i8").tobytes(),
                        dtype=wire_pb2.DTYPE_INT64,
                        shape=[length],
                    ),
                    "weights": wire_pb2.Tensor(
                        dense=np.ones(length, "<f4").tobytes(),
                        dtype=wire_pb2.DTYPE_FLOAT32,
                        shape=[length],
                    ),
                },
            )
        ],
    ).SerializeToString()


def step_body(run: str, seq: int) -> dict[str, Any]:
    """An `optim_step`."""
    return {"model_id": run, "seq_id": seq, "adam_params": {"learning_rate": 0.01}}


def submit(http: httpx.Client, run: str, seq: int, *, seed: int | None = None) -> str:
    """Send a batch, or a step where there is no seed; the request id."""
    if seed is None:
        reply = http.post("optim_step", json=step_body(run, seq))
    else:
        reply = http.post("forward_backward", content=batch(run, seq, seed=seed), headers=PROTOBUF)
    assert reply.status_code == 200, reply.text
    return reply.json()["request_id"]


def result(http: httpx.Client, request_id: str) -> bytes:
    """The answer, polled for until it is there."""
    while True:
        reply = http.post(
            "retrieve_future",
            json={"request_id": request_id},
            headers=PROTOBUF | {"Content-Type": "application/json"},
        )
        if reply.status_code != 408:
            assert reply.status_code == 200, reply.text
            return reply.content


def loss(content: bytes) -> float:
    """The loss in a pass's answer."""
    return wire_pb2.ForwardBackwardOutput.FromString(content).metrics["loss:sum"]
