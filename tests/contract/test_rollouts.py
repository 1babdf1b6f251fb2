"""Rollouts by the ids of their samples: what was sampled is read back from the server."""

from __future__ import annotations

import pytest

import tinsmith
from tests.conftest import LiveStack
from tests.contract.conftest import BASE_MODEL
from tinsmith import ModelInput, SamplingParams


def test_a_rollouts_tokens_need_not_be_sent_again(
    live_stack: LiveStack, caplog: pytest.LogCaptureFixture
) -> None:
    prompt, params = ModelInput.from_ints([5, 6, 7]), SamplingParams(max_tokens=4, seed=1)
    with tinsmith.ServiceClient(base_url=live_stack.url, api_key=live_stack.api_key) as service:
        training = service.create_lora_training_client(BASE_MODEL, rank=4)
        recorded = training.save_weights_and_get_sampling_client(record_stability_info=True)
        turns = [recorded.sample(prompt, 1, params).result(60).sequences[0] for _ in range(2)]
        group = recorded.sample(prompt, 2, params).result(60).sequences
        plain = service.create_sampling_client(base_model=BASE_MODEL)
        unrecorded = plain.sample(prompt, 1, params).result(60).sequences
        training.log_rollouts(
            [
                {"sequences": turns, "reward": 1.0, "components": {"format": 0.5}, "tags": ["a"]},
                *({"group": 1, "sequences": [sample]} for sample in group),
                {"group": 2, "sequences": unrecorded},
            ],
            step=3,
        ).result(60)
        rest = service.create_rest_client()
        found = rest.get_run_rollouts(training.get_info().model_id, limit=10).result(60).rollouts
    assert "1 of the rows name sequences of which nothing is recorded" in caplog.text
    assert [(row.step, row.group, row.index) for row in found] == [
        (3, 0, 0),
        (3, 1, 0),
        (3, 1, 1),
        (3, 2, 0),
    ]
    for row, samples in zip(found[:3], (turns, group[:1], group[1:]), strict=True):
        assert [kept.id for kept in row.sequences] == [one.sequence_id for one in samples]
        assert [kept.tokens for kept in row.sequences] == [one.tokens for one in samples]
        assert [kept.logprobs for kept in row.sequences] == [one.logprobs for one in samples]
    assert (found[0].components, found[0].tags) == ({"format": 0.5}, ["a"])
    assert [kept.tokens for kept in found[3].sequences] == [None]
