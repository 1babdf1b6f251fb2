"""A worker with a real engine: tokens announced while they are drawn, samples given up."""

from __future__ import annotations

import json
import struct

from core import database
from gpu_workers.log.streamer import Streamer
from operations import partial
from operations.announcements import CANCEL_CHANNEL, TOKENS
from operations.models import Operation, Result
from tests.gpu_workers.bench import Bench
from tinsmith.wire import wire_pb2


def sample_body(sampler_id: str, seq: int, max_tokens: int, **changes: object) -> bytes:
    """A sample that nothing stops."""
    body = {
        "sampling_session_id": sampler_id,
        "seq_id": seq,
        "num_samples": 2,
        "prompt": {"chunks": [{"type": "encoded_text", "tokens": [72, 101, 108]}]},
        "sampling_params": {"max_tokens": max_tokens, "seed": 5, "stop": []},
    }
    return json.dumps(body | changes).encode()


def test_tokens_are_announced_to_whoever_asks(bench: Bench) -> None:
    log = bench.log
    sampler = log.sampler(log.team("a"))
    with database.connect() as listening:
        listening.execute(f"LISTEN {TOKENS.channel}")
        bench.start()
        log.submit(sampler, 1, "sample", sample_body(sampler.id, 1, 150, report_tokens=True))
        log.submit(sampler, 2, "sample", sample_body(sampler.id, 2, 20))
        bench.wait(lambda: Result.objects.count() == 2, "two samples")
        heard = [notice.payload for notice in listening.notifies(timeout=0.5)]
    assert heard
    assert {text.partition(" ")[0] for text in heard} == {f"{sampler.id}:1"}
    body = bytes(Result.objects.get(operation__seq=1).body)
    result = wire_pb2.SampleResponse.FromString(body)
    for index, sequence in enumerate(result.sequences):
        tokens = list(struct.unpack("<150i", sequence.tokens))
        logprobs = list(struct.unpack("<150f", sequence.logprobs))
        said: list[int] = []
        believed: list[float] = []
        for text in heard:
            for piece in partial.parse(text.partition(" ")[2]):
                if piece.sequence == index:
                    assert piece.start == len(said)
                    said += piece.tokens
                    believed += piece.logprobs
        assert said
        assert said == tokens[: len(said)]
        assert believed == logprobs[: len(said)]


def test_a_sample_that_is_given_up_frees_its_place(bench: Bench) -> None:
    log = bench.log
    sampler = log.sampler(log.team("a"))
    worker = bench.start()
    log.submit(sampler, 1, "sample", sample_body(sampler.id, 1, 250, num_samples=1000))
    bench.wait(lambda: bool(worker.samples.all()), "the sample to begin")
    Operation.objects.update(state="failed", error="x", error_category="user")
    log.conn.execute(f"SELECT pg_notify('{CANCEL_CHANNEL}', %s)", (f"{sampler.id}:1",))
    bench.wait(lambda: worker.capacity._operations == 0, "the sample to be given up")
    (report,) = worker.engines.report().values()
    assert report["sampler_running"] == report["sampler_waiting"] == 0
    log.submit(sampler, 2, "sample", sample_body(sampler.id, 2, 3))
    bench.wait(lambda: Result.objects.exists(), "the next sample")


def test_nothing_is_collected_of_samples_that_nobody_reads(bench: Bench) -> None:
    streamer = Streamer()
    streamer.ended("a:1")
    assert not streamer._tokens
    assert streamer._thread is None
    report = streamer.reporter("b:1")
    for token in range(5):
        report(0, token, -1.0)
    streamer.ended("b:1")
    streamer.ended("b:1")
    bench.wait(lambda: not streamer._tokens, "the tokens to be announced")
    streamer.stop()
    assert not streamer._counts
    assert not streamer._reported
