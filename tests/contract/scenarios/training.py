"""Training: runs, passes, steps, losses, big batches, custom losses."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from .kit import WAIT_S, Kit, failure, logprobs, token_lists


def capabilities(kit: Kit) -> list[dict[str, Any]]:
    """What is on offer."""
    models = kit.service().get_server_capabilities().supported_models
    return [
        {"name": model.model_name, "max_context_length": getattr(model, "max_context_length", None)}
        for model in models
    ]


def info(kit: Kit, base_model: str) -> dict[str, Any]:
    """What a new run says of itself."""
    training = kit.training(base_model, user_metadata={"purpose": "contract"})
    about = training.get_info()
    return {
        "model_id": about.model_id,
        "model_name": about.model_data.model_name,
        "lora_rank": about.lora_rank,
        "is_lora": about.is_lora,
    }


def tokenizer(kit: Kit, base_model: str) -> dict[str, Any]:
    """The tokenizer, found without a hub."""
    kit.offer_tokenizers()
    found = kit.training(base_model).get_tokenizer()
    tokens = found.encode("Pig Latin", add_special_tokens=False)
    chat = found.apply_chat_template(
        [{"role": "user", "content": "hi"}], tokenize=False, add_generation_prompt=True
    )
    return {"tokens": tokens, "text": found.decode(tokens), "chat": chat}


def supervised(kit: Kit, base_model: str) -> dict[str, Any]:
    """Eight pipelined steps, between a forward pass before and one after."""
    training, data = kit.training(base_model), kit.batch()
    before = training.forward(data, "cross_entropy").result(WAIT_S)
    futures = []
    for _ in range(8):
        passed = training.forward_backward(data, "cross_entropy")
        # small enough a step that the loss falls every time
        futures.append((passed, training.optim_step(kit.adam(learning_rate=3e-3))))
    losses = [passed.result(WAIT_S).metrics["loss:sum"] for passed, _ in futures]
    steps = [stepped.result(WAIT_S).metrics for _, stepped in futures]
    after = training.forward(data, "cross_entropy").result(WAIT_S)
    return {
        "losses": losses,
        "optim_metrics": steps[0],
        "before": before.metrics["loss:sum"],
        "after": after.metrics["loss:sum"],
        "logprobs": logprobs(before),
        "first_logprobs": logprobs(futures[0][0].result(WAIT_S)),
    }


def forward_leaves_no_gradient(kit: Kit, base_model: str) -> list[float]:
    """Losses around a step that followed forward passes only."""
    training, data = kit.training(base_model), kit.batch()
    first = training.forward(data, "cross_entropy").result(WAIT_S).metrics["loss:sum"]
    training.optim_step(kit.adam(learning_rate=0.1)).result(WAIT_S)
    return [first, training.forward(data, "cross_entropy").result(WAIT_S).metrics["loss:sum"]]


def policy_losses(kit: Kit, base_model: str) -> dict[str, Any]:
    """Every policy-gradient loss at ratio 1, with advantages of both signs."""
    training = kit.training(base_model)
    lists = token_lists()
    forward = training.forward([kit.datum(item) for item in lists], "cross_entropy").result(WAIT_S)
    data: list[tuple[list[int], dict[str, Any]]] = []
    total = 0.0
    for index, (tokens, known) in enumerate(zip(lists, logprobs(forward), strict=True)):
        advantages = [float(index - 1)] * len(known)
        total += sum(advantages)
        inputs: dict[str, Any] = {"weights": None, "logprobs": known, "advantages": advantages}
        data.append((tokens, inputs))
    plain = [kit.datum(tokens, **inputs) for tokens, inputs in data]
    masked = [
        kit.datum(tokens, **inputs, sequence_ratio_mask=np.ones(len(tokens) - 1, dtype=np.float32))
        for tokens, inputs in data
    ]
    configs: dict[str, dict[str, float] | None] = {
        "importance_sampling": None,
        "ppo": {"clip_low_threshold": 0.9, "clip_high_threshold": 1.1},
        "cispo": {"clip_low_threshold": 0.0, "clip_high_threshold": 4.0},
        "dro": {"beta": 0.05},
        "gspo": {"clip_low_threshold": 0.9, "clip_high_threshold": 1.1},
    }
    losses = {}
    for name in kit.losses(*configs):
        config = configs[name]
        given = masked if name == "gspo" else plain
        result = training.forward_backward(given, name, config).result(WAIT_S)
        losses[name] = result.metrics["loss:sum"]
    stepped = training.optim_step(kit.adam()).result(WAIT_S)
    return {
        "losses": losses,
        "advantages": total,
        "weighted": sum(
            given["advantages"][0] * sum(known)
            for (_, given), known in zip(data, logprobs(forward), strict=True)
        ),
        "stepped": stepped.metrics is not None,
    }


def soft_targets(kit: Kit, base_model: str) -> dict[str, Any]:
    """Two targets a position: the loss is the weighted sum of both."""
    training = kit.training(base_model)
    (tokens,) = token_lists(count=1)
    targets = np.array([tokens[1:], tokens[:-1]]).T
    weights = np.tile(np.array([[0.75, 0.25]], dtype=np.float32), (len(tokens) - 1, 1))
    both = training.forward_backward(
        [kit.datum(tokens, target_tokens=targets, weights=weights)], "cross_entropy"
    ).result(WAIT_S)
    return {"loss": both.metrics["loss:sum"], "logprobs": logprobs(both)[0]}


def big_batch(kit: Kit, base_model: str, count: int) -> dict[str, Any]:
    """More datums than go into one request: their chunks arrive out of order."""
    training = kit.training(base_model)
    (tokens,) = token_lists(count=1, length=5)
    one = training.forward_backward([kit.datum(tokens)], "cross_entropy").result(WAIT_S)
    training.optim_step(kit.adam(learning_rate=0.0)).result(WAIT_S)
    many = training.forward_backward([kit.datum(tokens)] * count, "cross_entropy").result(WAIT_S)
    training.optim_step(kit.adam()).result(WAIT_S)
    return {
        "one": one.metrics["loss:sum"],
        "many": many.metrics["loss:sum"],
        "outputs": len(many.loss_fn_outputs),
    }


def futures(kit: Kit, base_model: str) -> dict[str, Any]:
    """Results fetched twice, waited for in both worlds, and with too little patience."""
    training, data = kit.training(base_model), kit.batch()
    future = training.forward_backward(data, "cross_entropy")

    async def twice() -> list[float]:
        return [(await future).metrics["loss:sum"] for _ in range(2)]

    results = [future.result(WAIT_S).metrics["loss:sum"] for _ in range(2)]
    results += asyncio.run(twice())
    return {"losses": results}


def impatience(kit: Kit, base_model: str) -> dict[str, Any]:
    """A run on a model that nobody serves: the client waits as long as it likes."""
    service = kit.service()
    # old releases wait in the call itself; their way to give up is asyncio's
    making = service.create_lora_training_client_async(base_model, rank=4)
    return failure(lambda: asyncio.run(asyncio.wait_for(making, 3.0)))


async def _asynchronous(kit: Kit, base_model: str) -> list[float]:
    service = kit.service()
    training = await service.create_lora_training_client_async(base_model, rank=8, seed=7)
    losses = []
    for _ in range(2):
        passed = await training.forward_backward_async(kit.batch(), "cross_entropy")
        stepped = await training.optim_step_async(kit.adam())
        losses.append((await passed).metrics["loss:sum"])
        await stepped
    return losses


def asynchronous(kit: Kit, base_model: str) -> list[float]:
    """Two steps in asyncio."""
    return asyncio.run(_asynchronous(kit, base_model))


def custom_loss(kit: Kit, base_model: str) -> dict[str, Any]:
    """A loss in torch on the user's machine equals the server's own, gradient included."""

    def negative_likelihood(data: list[Any], known: list[Any]) -> tuple[Any, dict[str, float]]:
        loss = -sum(values.sum() for values in known)
        return loss, {"count": float(len(known))}

    outcomes = []
    for custom in (True, False):
        training, data = kit.training(base_model), kit.batch()
        if custom:
            passed = training.forward_backward_custom(data, negative_likelihood)
        else:
            passed = training.forward_backward(data, "cross_entropy")
        metrics = passed.result(WAIT_S).metrics
        training.optim_step(kit.adam()).result(WAIT_S)
        after = training.forward(data, "cross_entropy").result(WAIT_S)
        outcomes.append({"metrics": metrics, "after": after.metrics["loss:sum"]})
    return {"custom": outcomes[0], "server": outcomes[1]}


def dpo(kit: Kit, base_model: str) -> dict[str, Any]:
    """Direct preference optimization by the server, and in torch on the user's machine."""
    import torch

    pairs = [kit.datum(tokens) for tokens in token_lists(count=6)]
    beta, outcomes = 0.5, []

    def by_hand(data: list[Any], known: list[Any]) -> tuple[Any, dict[str, float]]:
        gains = [
            ((p - reference["logprobs"].to_torch()) * datum.loss_fn_inputs["weights"].to_torch())
            for p, datum, reference in zip(known, data, references, strict=True)
        ]
        rewards = beta * torch.stack([gain.sum() for gain in gains])
        losses = -torch.nn.functional.logsigmoid(rewards[0::2] - rewards[1::2])
        return losses.sum(), {"dpo_loss:mean": float(losses.mean())}

    for custom in (True, False):
        training = kit.training(base_model)
        references = training.forward(pairs, "cross_entropy").result(WAIT_S).loss_fn_outputs
        given = [
            kit.datum(tokens, logprobs=reference["logprobs"].to_numpy())
            for tokens, reference in zip(token_lists(count=6), references, strict=True)
        ]
        losses = []
        for _ in range(4):
            if custom:
                passed = training.forward_backward_custom(pairs, by_hand)
            else:
                passed = training.forward_backward(given, "dpo", {"dpo_beta": beta})
            training.optim_step(kit.adam()).result(WAIT_S)
            losses.append(passed.result(WAIT_S).metrics["dpo_loss:mean"])
        outcomes.append(losses)
    return {"custom": outcomes[0], "server": outcomes[1]}


def rewards(kit: Kit, base_model: str) -> dict[str, Any]:
    """A reward model: trained on pairs of answers, then asked for their scores."""
    training = kit.training(base_model)
    prompt, *answers = token_lists(count=5)
    data = [kit.client.types.Datum.for_score(kit.prompt(prompt), answer) for answer in answers]
    metrics = []
    for _ in range(6):
        passed = training.forward_backward(data, "bradley_terry")
        training.optim_step(kit.adam()).result(WAIT_S)
        metrics.append(passed.result(WAIT_S).metrics)
    last = training.forward(data, "bradley_terry").result(WAIT_S)
    sampler = training.save_weights_and_get_sampling_client()
    return {
        "losses": [metric["bradley_terry_loss:mean"] for metric in metrics],
        "accuracy": last.metrics["accuracy:mean"],
        "trained": [known[-1][0] - known[-1][1] for known in logprobs(last)],
        "scores": [sampler.score(kit.prompt(prompt), answer).result(WAIT_S) for answer in answers],
    }
