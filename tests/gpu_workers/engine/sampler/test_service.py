"""Continuous batching as a service: one prefill, fair slots, cancelling, errors, flat memory."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from gpu_workers.engine.sampler.kv import Row
from gpu_workers.engine.sampler.local import LocalSampler, SampleCancelled
from gpu_workers.engine.types import EngineStopped, Sample, SampleResult, UserError
from tests.gpu_workers.engine.sampler.helpers import (
    CONTEXT,
    VOCABULARY,
    Tiny,
    assert_same,
    drain,
    endless,
    prompt_of,
    sample_all,
    sample_one,
    sample_some,
)


def assert_empty(sampler: LocalSampler) -> None:
    """Nothing is held any more."""
    assert not sampler.has_work()
    assert sampler.cache.reserved_tokens == 0
    assert sampler.cache.allocated_bytes() == 0
    report = sampler.report()
    assert report["sampler_running"] == report["sampler_waiting"] == 0
    assert all(version.users == 0 for version in sampler.versions._versions.values())


def test_many_samples_share_one_prefill(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    result = sample_one(sampler, endless(prompt_of(50), num_samples=32, max_tokens=12))
    assert len(result.sequences) == 32
    assert sampler.prefill_tokens == 50
    assert sampler.decode_steps == 12 - 1  # all samples in the same steps; the prefill gave one
    assert_empty(sampler)


def test_one_token_samples_need_no_decoding(qwen: Tiny) -> None:
    sampler = qwen.sampler(slots=2)
    result = sample_one(sampler, endless(prompt_of(9), num_samples=100, max_tokens=1, seed=1))
    assert sampler.decode_steps == 0
    assert len({int(sequence.tokens[0]) for sequence in result.sequences}) > 3
    assert_empty(sampler)


def test_samples_run_to_the_end_of_the_context(qwen: Tiny) -> None:
    for length in (1, 200, CONTEXT - 1):
        for asked in (None, 10**6):
            (sequence,) = sample_one(
                qwen.sampler(), endless(prompt_of(length), max_tokens=asked)
            ).sequences
            assert len(sequence.tokens) == CONTEXT - length
            assert sequence.stop_reason == "length"


def test_samples_come_and_go_between_steps(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    order: list[str] = []
    sampler.submit(
        None, None, endless(prompt_of(8), max_tokens=60), "a", lambda result: order.append("long")
    )
    for _ in range(5):
        sampler.step()
    sampler.submit(
        None, None, endless(prompt_of(8), max_tokens=5), "b", lambda result: order.append("short")
    )
    drain(sampler)
    assert order == ["short", "long"]
    assert sampler.decode_steps <= 60


def test_long_prompt_does_not_hold_up_those_who_decode(qwen: Tiny) -> None:
    sampler = qwen.sampler(prefill_tokens=16)
    results: list = []
    sampler.submit(None, None, endless(prompt_of(4), max_tokens=100), "a", results.append)
    sampler.step()
    sampler.submit(None, None, endless(prompt_of(240), max_tokens=1), "b", results.append)
    for _ in range(10):
        sampler.step()
    assert sampler.decode_steps >= 5
    assert 4 < sampler.prefill_tokens < 244
    drain(sampler)
    assert len(results) == 2


def test_a_full_sampler_still_takes_in_another_team(qwen: Tiny) -> None:
    sampler = qwen.sampler(slots=4, guest_slots=1)
    finished: list[str] = []
    for number in range(10):
        sampler.submit(
            None,
            None,
            endless(prompt_of(5, number), max_tokens=100),
            "greedy",
            lambda result: finished.append("greedy"),
        )
    for _ in range(12):
        sampler.step()
    assert sampler.report()["sampler_running"] == 4
    sampler.submit(
        None,
        None,
        endless(prompt_of(5), max_tokens=5),
        "guest",
        lambda result: finished.append("guest"),
    )
    drain(sampler)
    assert finished[0] == "guest"
    assert len(finished) == 11


def test_teams_share_the_slots(qwen: Tiny) -> None:
    sampler = qwen.sampler(slots=4, guest_slots=0)
    finished: list[str] = []
    for team, requests in (("many", 40), ("few", 4)):
        for number in range(requests):
            sampler.submit(
                None,
                None,
                endless(prompt_of(5, number), num_samples=2, max_tokens=10),
                team,
                partial(lambda team, result: finished.append(team), team),
            )
    drain(sampler)
    assert finished.index("few") <= 4
    assert finished[:14].count("few") == 4


def test_big_requests_finish_in_few_slots(qwen: Tiny) -> None:
    """More samples than slots, from several requests at once: none waits for another for ever."""
    sampler = qwen.sampler(slots=3, guest_slots=0)
    asked = [
        (None, endless(prompt_of(70, n), num_samples=20, max_tokens=4, seed=n)) for n in range(4)
    ]
    results = sample_all(sampler, asked)
    assert [len(result.sequences) for result in results] == [20] * 4
    assert sampler.prefill_tokens == 4 * 70
    for result, (_, work) in zip(results, asked, strict=True):
        assert_same(result, sample_one(qwen.sampler(), work))
    assert_empty(sampler)


def test_samples_that_stop_at_once_do_not_pile_up(qwen: Tiny) -> None:
    every = list(range(VOCABULARY))[:64]
    sampler = qwen.sampler(slots=1, guest_slots=0)
    first = sample_one(sampler, endless(prompt_of(3), temperature=0.0, max_tokens=2))
    token = int(first.sequences[0].tokens[0])
    work = endless(
        prompt_of(3),
        temperature=0.0,
        max_tokens=9,
        num_samples=1024,
        stop_tokens=[token, *every][:64],
    )
    result = sample_one(sampler, work)
    assert {len(sequence.tokens) for sequence in result.sequences} == {1}
    assert_empty(sampler)


@pytest.mark.parametrize("steps", [0, 1, 3, 8, 40])
def test_cancel_frees_everything(qwen: Tiny, steps: int) -> None:
    sampler = qwen.sampler(slots=3, guest_slots=0, prefill_tokens=16)
    sampler.publish("v", qwen.adapter(1))
    lasting = endless(prompt_of(6), seed=9, max_tokens=30)
    expected = sample_one(qwen.sampler(), lasting)
    answers: list = []
    kept: list = []
    work = endless(prompt_of(90), num_samples=10, max_tokens=50, prompt_logprobs=True)
    cancel = sampler.submit("v", None, work, "a", answers.append)
    sampler.submit(None, None, lasting, "b", kept.append)
    for _ in range(steps):
        sampler.step()
    cancel()
    cancel()
    assert sampler.has_work()
    drain(sampler)
    cancel()
    drain(sampler)
    assert [type(answer) for answer in answers] == [SampleCancelled]
    assert_same(kept[0], expected)
    assert_empty(sampler)


def test_cancelling_what_is_done_changes_nothing(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    answers: list = []
    cancel = sampler.submit(None, None, endless([5], max_tokens=2), "a", answers.append)
    drain(sampler)
    cancel()
    drain(sampler)
    assert len(answers) == 1
    assert isinstance(answers[0], SampleResult)


def test_nan_weights_poison_nothing_but_their_own_request(qwen: Tiny) -> None:
    healthy = [
        (None, endless(prompt_of(n), seed=n, num_samples=2, prompt_logprobs=True)) for n in (5, 90)
    ]
    expected = sample_all(qwen.sampler(), healthy)
    for kind in ("nan", "inf"):
        sampler = qwen.sampler()
        bad = qwen.adapter(1)
        bad.row.fill_(float(kind))
        sampler.publish("bad", bad)
        half_bad = qwen.adapter(2)
        half_bad.row[len(half_bad.row) // 2] = float(kind)
        sampler.publish("half", half_bad)
        poison = endless(prompt_of(60), num_samples=3, prompt_logprobs=True)
        asked = [("bad", poison), healthy[0], ("half", poison), healthy[1], ("bad", poison)]
        for number in range(4):  # they keep the cache's tensors in use
            lasting = endless(prompt_of(7, number), max_tokens=200)
            sampler.submit(None, None, lasting, "lasting", lambda result: None)
        sampler.step()
        results = sample_some(sampler, asked)
        for number in (0, 2, 4):
            assert isinstance(results[number], UserError)
            assert "not finite" in str(results[number])
        assert_same(results[1], expected[0])
        assert_same(results[3], expected[1])
        # Nor does what the poisoned left in the cache.
        assert sampler.report()["sampler_running"] == 4
        for one, other in zip(sample_some(sampler, healthy), expected, strict=True):
            assert_same(one, other)
        assert sampler.report()["sampler_running"] == 4


def test_a_version_that_cannot_be_read_fails_alone(qwen: Tiny, tmp_path: Path) -> None:
    sampler = qwen.sampler()
    asked = [("gone", endless([5])), (None, endless([5])), ("nowhere", endless([5]))]
    results = sample_all(sampler, asked, {"gone": tmp_path / "gone"})
    assert isinstance(results[0], FileNotFoundError)
    assert isinstance(results[1], SampleResult)
    assert isinstance(results[2], LookupError)
    assert_empty(sampler)


def test_a_failing_pass_fails_its_requests_and_no_more(
    qwen: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = qwen.sampler()
    answers: list = []
    sampler.submit(None, None, endless(prompt_of(5)), "a", answers.append)
    sampler.step()

    def broken(*arguments: object) -> torch.Tensor:
        raise MemoryError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(type(qwen.base), "hidden", broken)
        sampler.step()
    assert isinstance(answers[0], MemoryError)
    assert_empty(sampler)
    assert isinstance(sample_one(sampler, endless([5])), SampleResult)


def test_a_failing_fork_fails_its_request_and_no_more(
    qwen: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    sampler = qwen.sampler()
    fork, calls = sampler.cache.fork, iter(range(100))

    def broken(*arguments: Any) -> Row:
        if next(calls) == 3:
            raise MemoryError("no memory")
        return fork(*arguments)

    monkeypatch.setattr(sampler.cache, "fork", broken)
    bad, good = endless(prompt_of(5), num_samples=8), endless(prompt_of(5), seed=1)
    results = sample_all(sampler, [(None, bad), (None, good)])
    assert isinstance(results[0], MemoryError)
    assert_same(results[1], sample_one(qwen.sampler(), good))
    assert_empty(sampler)


def test_a_failing_callback_does_no_harm(qwen: Tiny) -> None:
    sampler = qwen.sampler()

    def fails(result: object) -> None:
        raise ValueError("not our fault")

    sampler.submit(None, None, endless([5]), "a", fails)
    assert isinstance(sample_one(sampler, endless([6])), SampleResult)
    assert_empty(sampler)


def test_stop_answers_everything_and_takes_no_more(qwen: Tiny) -> None:
    sampler = qwen.sampler(slots=2, guest_slots=0)
    answers: list = []
    for number in range(6):
        sampler.submit(None, None, endless(prompt_of(9, number)), f"t{number}", answers.append)
        sampler.step()
    sampler.submit(None, None, endless([7]), "late", answers.append)
    sampler.stop()
    assert [type(answer) for answer in answers] == [EngineStopped] * 7
    assert_empty(sampler)
    with pytest.raises(EngineStopped):
        sampler.submit(None, None, endless([5]), "a", answers.append)


def test_submitting_from_many_threads(qwen: Tiny) -> None:
    sampler = qwen.sampler()
    answers: list = []

    def submit(number: int) -> None:
        for _ in range(10):
            cancel = sampler.submit(None, None, endless([5], max_tokens=3), "t", answers.append)
            if number == 0:
                cancel()

    threads = [threading.Thread(target=submit, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or sampler.has_work():
        sampler.step()
    assert len(answers) == 40
    assert sum(isinstance(answer, SampleResult) for answer in answers) >= 30
    assert_empty(sampler)


def test_memory_is_flat_over_many_versions(qwen: Tiny) -> None:
    size = qwen.adapter(0).nbytes
    sampler = qwen.sampler(adapter_bytes=5 * size)
    for number in range(500):
        name = f"v{number}"
        sampler.publish(name, qwen.adapter(number))
        assert sampler.versions.nbytes() <= 5 * size
        if number % 50 == 0:
            sample_all(sampler, [(name, endless([5], max_tokens=2))])
    assert len(sampler.versions) == 5
    assert "v499" in sampler.versions
    for number in range(500):
        sampler.drop(f"v{number}")
    sampler.drop("unknown")
    assert len(sampler.versions) == 0
    assert_empty(sampler)


def test_a_version_in_use_stays(qwen: Tiny) -> None:
    size = qwen.adapter(0).nbytes
    sampler = qwen.sampler(adapter_bytes=2 * size)
    adapter = qwen.adapter(0)
    work: Sample = endless(prompt_of(5), seed=1, max_tokens=30)
    sampler.publish("used", adapter)
    expected = sample_all(sampler, [("used", work)])[0]
    answers: list = []
    sampler.submit("used", None, work, "a", answers.append)
    sampler.step()
    for number in range(10):
        sampler.publish(f"other-{number}", qwen.adapter(number))
    assert "used" in sampler.versions
    sampler.drop("used")  # whoever samples from it goes on
    drain(sampler)
    assert_same(answers[0], expected)
    assert_empty(sampler)
