"""A server that takes few samples at a time, and samples that nobody wants any more."""

from __future__ import annotations

import asyncio
import pickle
import time
from typing import Any

from .kit import WAIT_S, Kit, done, token_lists

PROMPT = [72, 101, 108, 108, 111, 32]
# alone on a sampler these take minutes, two cores or twenty
UNWANTED = {"max_tokens": 1500, "temperature": 1.0, "stop": []}
SEQUENCES = 64


def refused_at_first(kit: Kit, base_model: str, count: int) -> dict[str, Any]:
    """The same prompts one after another, and all at once; `seconds` for the latter."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))
    params = kit.params(max_tokens=4, temperature=0.0)
    prompts = [kit.prompt(tokens) for tokens in token_lists(count=count, length=4)]

    def tokens(future: Any) -> list[int]:
        return list(future.result(WAIT_S).sequences[0].tokens)

    singly = [tokens(sampler.sample(prompt, 1, params)) for prompt in prompts]
    started = time.monotonic()
    together = [sampler.sample(prompt, 1, params) for prompt in prompts]
    drawn = [tokens(future) for future in together]
    return {"singly": singly, "together": drawn, "seconds": time.monotonic() - started}


def _draw(kit: Kit, sampler: Any) -> list[list[int]]:
    params = kit.params(max_tokens=8, temperature=0.0, stop=[])
    sequences = sampler.sample(kit.prompt(PROMPT), 16, params).result(WAIT_S).sequences
    return [list(sequence.tokens) for sequence in sequences]


def _draw_first(kit: Kit, sampler: Any) -> list[list[int]]:
    """As `_draw`, and no more among the open samples, which the server counts twice a second."""
    drawn = _draw(kit, sampler)
    time.sleep(1.0)
    return drawn


def cancelled(kit: Kit, base_model: str, count: int) -> dict[str, Any]:
    """`count` long samples are given up; then the same client goes on, after `seconds`."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))
    before = _draw_first(kit, sampler)
    params = kit.params(**UNWANTED)
    futures = [sampler.sample(kit.prompt(PROMPT), SEQUENCES, params) for _ in range(count)]
    time.sleep(1.0)
    given_up = [future.cancel() for future in futures]
    started = time.monotonic()
    after = _draw(kit, sampler)
    return {
        "given_up": given_up,
        "cancelled": [future.cancelled() for future in futures],
        "seconds": time.monotonic() - started,
        "before": before,
        "after": after,
    }


def abandoned(kit: Kit, base_model: str, count: int) -> dict[str, Any]:
    """Like `cancelled`, in asynchronous code whose patience ends."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))
    before = _draw_first(kit, sampler)
    params = kit.params(**UNWANTED)

    async def impatient() -> str:
        try:
            await asyncio.wait_for(sampler.sample_async(kit.prompt(PROMPT), SEQUENCES, params), 1.0)
        except TimeoutError:
            return "timeout"
        return "drawn"

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*[impatient() for _ in range(count)])

    outcomes = asyncio.run(all_of_them())
    started = time.monotonic()
    after = _draw(kit, sampler)
    return {
        "outcomes": outcomes,
        "seconds": time.monotonic() - started,
        "before": before,
        "after": after,
    }


def copies(kit: Kit, base_model: str, count: int) -> list[list[list[int]]]:
    """What a sampler and its pickled copies draw, all at once and several times each."""
    sampler = done(kit.service().create_sampling_client(base_model=base_model))
    clients = [sampler, *[pickle.loads(pickle.dumps(sampler)) for _ in range(count)]]
    params = kit.params(max_tokens=8, temperature=0.0, stop=[])
    futures = [
        [client.sample(kit.prompt(PROMPT), 1, params) for _ in range(3)] for client in clients
    ]
    return [
        [list(future.result(WAIT_S).sequences[0].tokens) for future in some] for some in futures
    ]


def unserved(kit: Kit, base_model: str) -> list[dict[str, Any]]:
    """What our client is told of samples that no worker is there to draw."""
    heard: list[Any] = []
    service = kit.service(on_waiting=heard.append)
    sampler = done(service.create_sampling_client(base_model=base_model))
    futures = [sampler.sample(kit.prompt(PROMPT), 1, kit.params(max_tokens=2)) for _ in range(3)]
    until = time.monotonic() + WAIT_S
    while not heard and time.monotonic() < until:
        time.sleep(0.1)
    for future in futures:
        future.cancel()
    return [
        {"kind": item.kind, "state": item.state, "reason": item.reason, "seconds": item.seconds}
        for item in heard[:1]
    ]
