"""What newer releases can ask: scores of prompts, samplers that follow their run, provenance."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from .kit import WAIT_S, Kit, done, failure, logprobs, token_lists

PROMPT = [72, 101, 108, 108, 111, 32, 119, 111]


def _table(tensor: Any) -> list[list[float]]:
    return np.asarray(tensor.to_numpy(), dtype=float).tolist()


def _top(entries: Any) -> list[Any]:
    return [
        None if entry is None else [[int(token), float(value)] for token, value in entry]
        for entry in entries
    ]


def scores(kit: Kit, base_model: str, context: int) -> dict[str, Any]:
    """Everything that can be asked of a prompt, in one request and in several."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))
    targets = np.array([[-1, token] for token in PROMPT[1:]], dtype=np.int64)
    result = sampler.sample(
        kit.prompt(PROMPT),
        num_samples=1,
        sampling_params=kit.params(max_tokens=2, temperature=1.0, seed=1, stop=[]),
        include_prompt_logprobs=True,
        topk_prompt_logprobs=3,
        topk_sample_logprobs=2,
        target_prompt_logprobs=kit.client.types.TensorData.from_numpy(targets),
        prompt_alt_tokens_k=4,
    ).result(WAIT_S)
    last = sampler.sample(
        kit.prompt(PROMPT),
        num_samples=1,
        sampling_params=kit.params(max_tokens=1),
        include_prompt_logprobs=True,
        prompt_logprobs_last_n=2,
    ).result(WAIT_S)
    whole = [98] * context
    return {
        "own": list(result.prompt_logprobs),
        "top": _top(result.topk_prompt_logprobs),
        "targets": _table(result.target_prompt_logprobs),
        "alternatives": _table(result.prompt_alt_tokens.tokens),
        "alternative_logprobs": _table(result.prompt_alt_tokens.logprobs),
        "last": list(last.prompt_logprobs),
        "full_context": len(sampler.compute_logprobs(kit.prompt(whole)).result(WAIT_S)),
        "too_long": failure(lambda: sampler.compute_logprobs(kit.prompt([*whole, 98]))),
        "bad_target": failure(
            lambda: sampler.sample(
                kit.prompt(PROMPT),
                num_samples=1,
                sampling_params=kit.params(max_tokens=1),
                target_prompt_logprobs=kit.client.types.TensorData.from_numpy(targets[1:]),
            )
        ),
    }


def inflight(kit: Kit, base_model: str) -> dict[str, Any]:
    """Two samplers that follow a run, beside one that does not, over two saves."""
    service = kit.service()
    training, data = kit.training(base_model, service), kit.batch()
    (tokens,) = token_lists(count=1)

    def follow() -> Any:
        return done(training.save_weights_and_get_sampling_client(kind="inflight"))

    def scored(sampler: Any) -> list[float]:
        return list(sampler.compute_logprobs(kit.prompt(tokens)).result(WAIT_S))[1:]

    def trained() -> list[float]:
        forward = training.forward([kit.datum(tokens)], "cross_entropy").result(WAIT_S)
        return logprobs(forward)[0]

    first = follow()
    frozen = done(training.save_weights_and_get_sampling_client())
    seen = {"first_before": scored(first), "frozen_before": scored(frozen), "run": [trained()]}
    for _ in range(3):
        kit.step(training, data)
        newest = follow()
        seen["run"].append(trained())
        seen["newest"] = scored(newest)
        seen["first"] = scored(first)
    seen["frozen"] = scored(frozen)
    return seen


def stable_reinforce(kit: Kit, base_model: str) -> dict[str, Any]:
    """Provenance instead of logprobs: the server knows what it sampled."""
    service = kit.service()
    training = kit.training(base_model, service)
    sampler = done(training.save_weights_and_get_sampling_client(record_stability_info=True))
    unrecorded = done(training.save_weights_and_get_sampling_client())
    types = kit.client.types

    def sampled(client: Any) -> Any:
        params = kit.params(max_tokens=5, temperature=1.0, seed=3, stop=[])
        (sequence,) = client.sample(kit.prompt(PROMPT), 1, params).result(WAIT_S).sequences
        return sequence

    def datum(sequence: Any, **changes: Any) -> Any:
        tokens, ahead = list(sequence.tokens), len(PROMPT) - 1
        inputs = {
            "target_tokens": [0] * ahead + tokens,
            "logprobs": [0.0] * ahead + list(sequence.logprobs),
            "advantages": [0.0] * ahead + [1.5] * len(tokens),
        } | changes
        inputs = {name: value for name, value in inputs.items() if value is not None}
        plain = types.Datum(
            model_input=types.ModelInput.from_ints(PROMPT + tokens[:-1]), loss_fn_inputs=inputs
        )
        name = sequence.sequence_id
        prompt, own = types.PromptProvenanceSpan, types.SampledProvenanceSpan
        return plain.with_provenance(
            model_input=[
                prompt(sequence_id=name, length=len(PROMPT)),
                own(sequence_id=name, length=len(tokens) - 1),
            ],
            loss_fn_inputs=[
                prompt(sequence_id=name, offset=1, length=ahead),
                own(sequence_id=name, length=len(tokens)),
            ],
        )

    def loss(data: Any, config: Any = None) -> float:
        passed = training.forward_backward([data], "stable_reinforce", config).result(WAIT_S)
        return passed.metrics["loss:sum"]

    good, other = sampled(sampler), sampled(unrecorded)
    plain = dataclasses.replace(datum(good), model_input_spans=None, loss_fn_input_spans=None)
    for _ in range(2):
        kit.step(training, kit.batch())
    return {
        "given": loss(datum(good), {"kl_coeff": 0.5}),
        "recorded": loss(datum(good, logprobs=None), {"kl_coeff": 0.5}),
        "without_penalty": loss(datum(good, logprobs=None)),
        "without_spans": loss(plain),
        "unrecorded": failure(lambda: loss(datum(other, logprobs=None))),
        "unrecorded_given": failure(lambda: loss(datum(other))),
        "stray_advantage": failure(lambda: loss(datum(good, advantages=[1.0] * 12))),
        "changed_tokens": failure(lambda: loss(datum(good, logprobs=None, target_tokens=[1] * 12))),
        "unknown_option": failure(lambda: loss(datum(good), {"mode": "x"})),
    }
