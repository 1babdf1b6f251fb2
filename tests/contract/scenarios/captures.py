"""Programs that log nothing: what they send and receive is all that is known of their runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kit import WAIT_S, Kit, done, logprobs, token_lists

STEPS, GROUPS, SIBLINGS, ANSWER = 3, 2, 4, 6
RATE = 5e-3


def supervised(kit: Kit, base_model: str) -> dict[str, Any]:
    """Three steps, the last of two passes; half of each text has a weight."""
    training = kit.training(base_model)
    steps = []
    for step in range(STEPS):
        passes = []
        for part in range(2 if step == STEPS - 1 else 1):
            texts = token_lists(3, 12, seed=10 * step + part)
            weights = [[0.0] * 5 + [1.0] * (len(text) - 6) for text in texts]
            data = [kit.datum(text, weights=w) for text, w in zip(texts, weights, strict=True)]
            future = training.forward_backward(data, "cross_entropy")
            passes.append((future, weights))
        stepped = training.optim_step(kit.adam(RATE))
        steps.append(_told(passes, stepped, "weights"))
    return {"run": training.get_info().model_id, "steps": steps}


def policy(kit: Kit, base_model: str) -> dict[str, Any]:
    """Three steps of reinforcement learning; rewards of no meaning, groups centred."""
    training = kit.training(base_model)
    prompts = [[5, 6, 7, 8 + group] for group in range(GROUPS)]
    steps = []
    for step in range(STEPS):
        sampler = done(training.save_weights_and_get_sampling_client())
        data, advantages, sampled = [], [], []
        for prompt in prompts:
            params = kit.params(max_tokens=ANSWER, seed=step + 1, stop=[], temperature=1.5)
            drawn = sampler.sample(kit.prompt(prompt), SIBLINGS, params).result(WAIT_S).sequences
            rewards = [sum(one.tokens) % 7 for one in drawn]
            for one, reward in zip(drawn, rewards, strict=True):
                before = [0.0] * (len(prompt) - 1)
                q = before + list(one.logprobs)
                a = before + [float(reward - np.mean(rewards))] * len(one.tokens)
                text = [*prompt, *one.tokens]
                data.append(kit.datum(text, weights=None, logprobs=q, advantages=a))
                sampled.append(q)
                advantages.append(a)
        # the second half is learnt from with a policy that has moved on
        passes = [(training.forward_backward(data, "ppo"), sampled)]
        passes[0][0].result(WAIT_S)
        told = _told(passes, training.optim_step(kit.adam(RATE)), "sampled")
        steps.append({**told, "advantages": advantages})
        again = training.forward_backward(data, "ppo")
        told = _told([(again, sampled)], training.optim_step(kit.adam(RATE)), "sampled")
        steps.append({**told, "advantages": advantages})
    return {"run": training.get_info().model_id, "steps": steps}


def _told(passes: list[Any], stepped: Any, given: str) -> dict[str, Any]:
    """What came of a step: logprobs and what was sent beside them, position by position."""
    outputs = [future.result(WAIT_S) for future, _ in passes]
    return {
        "losses": [output.metrics["loss:sum"] for output in outputs],
        "logprobs": [row for output in outputs for row in logprobs(output)],
        given: [row for _, rows in passes for row in rows],
        "grad_norm": stepped.result(WAIT_S).metrics["unclipped_grad_norm:mean"],
    }
