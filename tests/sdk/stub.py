"""A small loopback server that speaks the protocol and can be told to fail.

It is for what a real platform does not do on request: dropping replies, refusing, being slow.
Whether client and platform fit together is the contract tests' business.
"""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from tinsmith import wire

JSON = "application/json"
SESSION = "11111111-2222-3333-4444-555555555555"
BASE_MODEL = "stub/tiny"
POLL_S = 2.0
SEQ_BLOCK = 10**9


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Answer:
    """A reply; `drop` closes the connection instead, after the server has acted if `act`."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON
    drop: bool = False
    act: bool = False
    delay_s: float = 0.0


class Stub:
    """The server. `script` makes the next calls of a route go wrong."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.results: dict[str, Answer] = {}
        self.order: list[tuple[int, str]] = []  # (seq, what) as accepted, without re-sends
        self.config: dict[str, Any] = {}
        self.measures: dict[str, float] = {}  # further metrics of every pass
        self.dynamic_config: dict[str, Any] = {}
        self.ended: list[str] = []  # samples, in the order in which session polls tell of them
        self.withdrawn: list[tuple[int, int]] = []  # (first, last) as asked for
        self.joined = 0
        self.tokenizer_files: dict[str, str] = {}
        self._scripts: dict[str, list[Answer]] = defaultdict(list)
        self._taken: set[str] = set()
        self._lock = threading.Lock()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                path = self.path.removeprefix("/api/v1/")
                headers = {name.lower(): value for name, value in self.headers.items()}
                call = Call(self.command, path, headers, body, time.monotonic())
                answer = stub.handle(call)
                if answer.drop:
                    self.close_connection = True
                    self.connection.close()
                    return
                payload = answer.body
                if not isinstance(payload, bytes):
                    payload = b"" if payload is None else json.dumps(payload).encode()
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815

            def log_message(self, *args: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, *args: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    # ---- for tests

    def script(self, path: str, *answers: Answer) -> None:
        """The next calls of `path` get these answers, one each."""
        self._scripts[path] += answers

    def of(self, path: str) -> list[Call]:
        """The calls of a route, oldest first."""
        return [call for call in self.calls if call.path == path]

    def end(self, name: str, result: Answer | None = None) -> None:
        """A sample whose result was "not yet" so far has one, and session polls tell of it."""
        if result is not None:
            self.results[name] = result
        self.ended.append(name)

    # ---- the protocol

    def handle(self, call: Call) -> Answer:
        with self._lock:
            self.calls.append(call)
            scripted = self._scripts[call.path].pop(0) if self._scripts[call.path] else None
        if scripted is not None:
            time.sleep(scripted.delay_s)
            if scripted.act:
                self.act(call)
            if scripted.status or scripted.drop:
                return scripted
        return self.act(call)

    def act(self, call: Call) -> Answer:
        """Do what the route does."""
        name = call.path.split("/")[0]
        route: Callable[[Call], Answer] | None = getattr(self, f"_{name}", None)
        if route is None:
            return Answer(404, {"detail": "Not Found"})
        if name == "retrieve_futures":  # holds the request, so not the lock
            return route(call)
        with self._lock:
            return route(call)

    def _client(self, call: Call) -> Answer:
        return Answer(body=self.config if call.path == "client/config" else self.dynamic_config)

    def _create_session(self, call: Call) -> Answer:
        return Answer(body={"session_id": SESSION})

    def _session_heartbeat(self, call: Call) -> Answer:
        return Answer(body={})

    def _sessions(self, call: Call) -> Answer:
        return Answer(body={})

    def _get_server_capabilities(self, call: Call) -> Answer:
        return Answer(body={"supported_models": [{"model_name": BASE_MODEL}], "new": 1})

    def _create_model(self, call: Call) -> Answer:
        run = f"{SESSION}:train:{call.json()['model_seq_id']}"
        return self._accept(run, 0, "create_model", Answer(body={"model_id": run}), model_id=run)

    def _get_info(self, call: Call) -> Answer:
        data = {"model_name": BASE_MODEL, "tokenizer_id": BASE_MODEL}
        return Answer(body={"model_id": call.json()["model_id"], "model_data": data})

    def _forward_backward(self, call: Call) -> Answer:
        request = wire.ForwardBackwardRequest.FromString(call.body)
        return self._accept(
            request.model_id,
            request.seq_id,
            "forward_backward",
            pass_result(request, self.measures),
        )

    def _optim_step(self, call: Call) -> Answer:
        return self._accept_json(call, {"metrics": {"unclipped_grad_norm:mean": 1.0}})

    def _runs(self, call: Call) -> Answer:
        _, run, what = call.path.split("/")
        if what != "withdraw":
            return Answer(404, {"detail": "Not Found"})
        first, last = call.json()["first"], call.json()["last"]
        self.withdrawn.append((first, last))
        whole = f"{run}:{first}" not in self._taken
        standing = []
        for seq in range(first, last + 1):
            if not whole and f"{run}:{seq}" in self._taken:
                standing.append(seq)
            else:
                refused = Answer(body={"error": "withdrawn", "category": "user"})
                self.results[f"{run}:{seq}"] = refused
                self._taken.add(f"{run}:{seq}")
                self.order = [item for item in self.order if item[0] != seq]
        return Answer(body={"standing": standing})

    def _save_weights(self, call: Call) -> Answer:
        body = call.json()
        return self._accept_json(
            call, {"path": f"tinker://{body['model_id']}/weights/{body['path']}"}
        )

    def _load_weights(self, call: Call) -> Answer:
        body = call.json()
        if "session_id" in body:
            run = f"{SESSION}:train:{body['model_seq_id']}"
            return self._accept(run, 0, "load_weights", Answer(body={"path": body["path"]}))
        return self._accept_json(call, {"path": body["path"]})

    def _save_weights_for_sampler(self, call: Call) -> Answer:
        body = call.json()
        if "path" in body:
            path = f"tinker://{body['model_id']}/sampler_weights/{body['path']}"
            return self._accept_json(call, {"path": path})
        sampler = f"{SESSION}:sample:{body['sampling_session_seq_id']}"
        return self._accept_json(call, {"sampling_session_id": sampler, "path": None})

    def _create_sampling_session(self, call: Call) -> Answer:
        sampler = f"{SESSION}:sample:{call.json()['sampling_session_seq_id']}"
        return Answer(body={"sampling_session_id": sampler})

    def _samplers(self, call: Call) -> Answer:
        return Answer(body={"sampler_id": call.path.split("/")[1], "base_model": BASE_MODEL})

    def _asample(self, call: Call) -> Answer:
        body = call.json()
        sampler, seq, count = body["sampling_session_id"], body["seq_id"], body["num_samples"]
        message = wire.SampleResponse()
        for _ in range(count):
            part = message.sequences.add(stop_reason=wire.STOP_REASON_LENGTH)
            part.tokens = np.full(body["sampling_params"]["max_tokens"], 7, "<i4").tobytes()
            part.logprobs = np.full(body["sampling_params"]["max_tokens"], -0.5, "<f4").tobytes()
        if body["prompt_logprobs"]:
            length = sum(len(chunk["tokens"]) for chunk in body["prompt"]["chunks"])
            message.prompt_logprobs = np.array(
                [np.nan, *[-1.0] * (length - 1)], dtype="<f4"
            ).tobytes()
        if (targets := body.get("target_prompt_logprobs")) is not None:
            found = -np.arange(np.prod(targets["shape"]), dtype="<f4")
            message.target_prompt_logprobs.dtype = wire.DTYPE_FLOAT32
            message.target_prompt_logprobs.shape[:] = targets["shape"]
            message.target_prompt_logprobs.dense = found.tobytes()
        result = Answer(body=message.SerializeToString(), content_type=wire.PROTOBUF)
        ids = [f"{sampler}:{seq}:{index}" for index in range(count)]
        name = f"{sampler}:{seq}"
        if name not in self.results:
            self.ended.append(name)
        return self._accept(sampler, seq, "asample", result, sample_sequence_ids=ids)

    def _join_sampling_session(self, call: Call) -> Answer:
        self.joined += 1
        return Answer(body={"client_counter": self.joined})

    def _cancel_future(self, call: Call) -> Answer:
        name = call.json()["request_id"]
        if self.results[name].status == 408:
            self.end(name, Answer(body={"error": "the request was cancelled", "category": "user"}))
        return Answer(body={})

    def _retrieve_futures(self, call: Call) -> Answer:
        wanted = call.json()
        clone = wanted["target"]["cloned_sampler_id"]
        until = time.monotonic() + min(wanted.get("timeout", POLL_S), POLL_S)
        while True:
            cursor = len(self.ended)
            news = [
                {"state": "finished", "request_id": name}
                for name in self.ended[wanted["prev_cursor"] : cursor]
                if int(name.rpartition(":")[2]) // SEQ_BLOCK == clone
            ]
            if news or time.monotonic() >= until:
                return Answer(body={"completions": news, "cursor": cursor})
            time.sleep(0.005)

    def _models(self, call: Call) -> Answer:
        return Answer(body={"files": self.tokenizer_files})

    def _retrieve_future(self, call: Call) -> Answer:
        name = call.json()["request_id"]
        return self.results.get(name, Answer(404, {"detail": f"there is no request {name}"}))

    def _accept_json(self, call: Call, result: Any) -> Answer:
        body = call.json()
        return self._accept(body["model_id"], body["seq_id"], call.path, Answer(body=result))

    def _accept(self, target: str, seq: int, what: str, result: Answer, **more: Any) -> Answer:
        name = f"{target}:{seq}"
        if name not in self._taken:
            self._taken.add(name)
            self.results.setdefault(name, result)
            if seq:
                self.order.append((seq, what))
        return Answer(body={"request_id": name, **more})


def pass_result(request: wire.ForwardBackwardRequest, measures: dict[str, float]) -> Answer:
    """Every target's log-probability is minus the target; the loss is what cross-entropy makes."""
    message = wire.ForwardBackwardOutput(loss_fn_output_type="a.b:ArrayRecord")
    record = message.loss_fn_outputs.add(num_datums=len(request.data))
    column = record.fields["logprobs"]
    column.dtype = wire.DTYPE_FLOAT32
    parts, offsets, loss = [], [0], 0.0
    for datum in request.data:
        targets = np.frombuffer(datum.loss_fn_inputs["target_tokens"].dense, "<i8")
        logprobs = -targets.astype("<f4")
        weights = datum.loss_fn_inputs["weights"].dense
        if weights:
            loss -= float((np.frombuffer(weights, "<f4") * logprobs).sum())
        parts.append(logprobs.tobytes())
        offsets.append(offsets[-1] + len(parts[-1]))
    column.data = b"".join(parts)
    column.offsets = np.array(offsets, "<i8").tobytes()
    message.metrics["loss:sum"] = loss
    message.metrics.update(measures)
    return Answer(body=message.SerializeToString(), content_type=wire.PROTOBUF)
