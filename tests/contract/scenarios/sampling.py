"""Sampling: from base models, ephemeral and named sampler weights; seeds, stops, logprobs."""

from __future__ import annotations

from typing import Any

from .kit import WAIT_S, Kit, done, logprobs, token_lists

PROMPT = [72, 101, 108, 108, 111, 32]


def _tokens(sampler: Any, kit: Kit, count: int = 1, **params: Any) -> list[list[int]]:
    options = {"max_tokens": 8} | params
    response = sampler.sample(kit.prompt(PROMPT), count, kit.params(**options)).result(WAIT_S)
    return [list(sequence.tokens) for sequence in response.sequences]


def base(kit: Kit, base_model: str) -> dict[str, Any]:
    """Everything one can ask of a base model's sampler."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))
    greedy = _tokens(sampler, kit, temperature=0.0)[0]
    free = [_tokens(sampler, kit, count=4, seed=seed) for seed in (1, 1, 2)]
    plain = sampler.sample(
        kit.prompt(PROMPT),
        num_samples=3,
        sampling_params=kit.params(max_tokens=6, temperature=1.0, stop=[]),
        include_prompt_logprobs=True,
    ).result(WAIT_S)
    return {
        "base_model": sampler.get_base_model(),
        "greedy": greedy,
        "greedy_again": _tokens(sampler, kit, temperature=0.0)[0],
        "greedy_top_k": _tokens(sampler, kit, temperature=1.0, top_k=1)[0],
        "greedy_top_p": _tokens(sampler, kit, temperature=1.0, top_p=1e-6)[0],
        "seed_1": free[0],
        "seed_1_again": free[1],
        "seed_2": free[2],
        "sequences": [
            {
                "tokens": list(sequence.tokens),
                "logprobs": list(sequence.logprobs),
                "stop_reason": sequence.stop_reason,
                "sequence_id": getattr(sequence, "sequence_id", None),
            }
            for sequence in plain.sequences
        ],
        "prompt_logprobs": list(plain.prompt_logprobs),
        "computed_logprobs": list(sampler.compute_logprobs(kit.prompt(PROMPT)).result(WAIT_S)),
    }


def stops(kit: Kit, base_model: str) -> dict[str, Any]:
    """Stop tokens and stop strings, taken from what the model says unasked."""
    kit.offer_tokenizers()
    service = kit.service()
    sampler = done(service.create_sampling_client(base_model=base_model))

    def ask(**params: Any) -> dict[str, Any]:
        options = {"max_tokens": 12, "temperature": 0.0} | params
        response = sampler.sample(kit.prompt(PROMPT), 1, kit.params(**options)).result(WAIT_S)
        (sequence,) = response.sequences
        return {"tokens": list(sequence.tokens), "stop_reason": sequence.stop_reason}

    free = ask(stop=[])
    third = free["tokens"][2]
    text = kit.training(base_model, service).get_tokenizer().decode([third])
    return {
        "free": free,
        "token": ask(stop=[third]),
        "text": text,
        "string": ask(stop=text),
        "strings": ask(stop=["\x01\x02", text]),
        "one": ask(max_tokens=1, stop=[]),
    }


def trained(kit: Kit, base_model: str) -> dict[str, Any]:
    """A sampler is the run as it was when it was made, to the trainer's own logprobs."""
    service = kit.service()
    training, data = kit.training(base_model, service), kit.batch()
    (tokens,) = token_lists(count=1)

    def known() -> list[float]:
        output = training.forward([kit.datum(tokens)], "cross_entropy").result(WAIT_S)
        return logprobs(output)[0]

    def scored(sampler: Any) -> list[float]:
        values = sampler.compute_logprobs(kit.prompt(tokens)).result(WAIT_S)
        assert values[0] is None
        return list(values[1:])

    untrained = done(training.save_weights_and_get_sampling_client())
    for _ in range(3):
        kit.step(training, data)
    ephemeral = done(training.save_weights_and_get_sampling_client())
    path = training.save_weights_for_sampler("named").result(WAIT_S).path
    named = done(service.create_sampling_client(model_path=path))
    own = done(training.create_sampling_client(path))
    at_save = known()
    for _ in range(2):
        kit.step(training, data)
    base_sampler = done(service.create_sampling_client(base_model=base_model))
    return {
        "path": path,
        "base_model": named.get_base_model(),
        "trainer": at_save,
        "trainer_later": known(),
        "untrained": scored(untrained),
        "base": scored(base_sampler),
        "ephemeral": scored(ephemeral),
        "named": scored(named),
        "own": scored(own),
        "greedy_ephemeral": _tokens(ephemeral, kit, temperature=0.0),
        "greedy_named": _tokens(named, kit, temperature=0.0),
    }


def many(kit: Kit, base_model: str, count: int) -> dict[str, Any]:
    """Many samples at once, from two samplers, all different prompts."""
    service = kit.service()
    samplers = [done(service.create_sampling_client(base_model=base_model)) for _ in range(2)]
    params = kit.params(max_tokens=4, temperature=0.0)
    prompts = token_lists(count=count, length=4)

    def ask() -> list[list[int]]:
        futures = [
            samplers[index % 2].sample(kit.prompt(prompt), 1, params)
            for index, prompt in enumerate(prompts)
        ]
        return [list(future.result(WAIT_S).sequences[0].tokens) for future in futures]

    return {"first": ask(), "again": ask()}


def named_is_frozen(kit: Kit, base_model: str) -> dict[str, Any]:
    """A named sampler's address outlives its session, and names are not reused."""
    first = kit.service()
    training = kit.training(base_model, first)
    kit.step(training, kit.batch())
    path = training.save_weights_for_sampler("frozen").result(WAIT_S).path
    before = _tokens(done(first.create_sampling_client(model_path=path)), kit, temperature=0.0)
    kit.finish(first)
    after = _tokens(
        done(kit.service().create_sampling_client(model_path=path)), kit, temperature=0.0
    )
    return {"before": before, "after": after}
