"""Every public method of a client, and every option worth a line, called once."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import urllib.request
from collections.abc import Callable
from typing import Any

import numpy as np

from .kit import WAIT_S, Kit, done, failure, token_lists

CLASSES = ("ServiceClient", "TrainingClient", "SamplingClient", "RestClient", "AdminClient")
Call = Callable[[], tuple[Any, ...]]
TOKENS = token_lists(count=1)[0]


class World:
    """Clients and checkpoints to call methods on."""

    def __init__(self, kit: Kit, base_model: str) -> None:
        self.kit = kit
        self.base_model = base_model
        self.service = kit.service(display_name="methods", project_id="methods")
        self.training = kit.training(base_model, self.service)
        self.sampler = done(self.service.create_sampling_client(base_model=base_model))
        self.rest = kit.client.RestClient()
        self.admin = kit.client.AdminClient()
        self.session = self.training.get_info().model_id.partition(":")[0]
        self.data = kit.batch(2)
        self.kept = self.saved()
        kit.offer_tokenizers()
        self._names = iter(range(1000))

    def name(self) -> str:
        """A checkpoint's name that is not taken."""
        return f"m{next(self._names)}"

    def saved(self) -> str:
        """A new checkpoint's path."""
        number = getattr(self, "_saved", 0)
        self._saved = number + 1
        return str(self.training.save_state(f"saved{number}").result(WAIT_S).path)

    def part(self, path: str) -> tuple[str, str]:
        """(run, checkpoint id) of a path."""
        run, _, rest = path.removeprefix("tinker://").partition("/")
        return run, rest


def loss(data: list[Any], logprobs: list[Any]) -> tuple[Any, dict[str, float]]:
    """A custom loss."""
    return -sum(value.sum() for value in logprobs), {"datums": float(len(data))}


def one_datum_loss(logprobs: Any, weights: Any) -> tuple[Any, dict[str, Any]]:
    """A custom loss of one datum."""
    return -(logprobs * weights).sum(), {"custom/weight:sum": weights.sum()}


def _closed(world: World) -> Any:
    service = world.kit.service()
    service.create_sampling_client(base_model=world.base_model)
    return service


def _calls(world: World) -> dict[str, Call]:
    """(client, arguments, keywords) of every method, by ``Class.method`` without ``_async``."""
    kit, service, training = world.kit, world.service, world.training
    sampler, rest, prompt = world.sampler, world.rest, world.kit.prompt(TOKENS)
    hour = datetime.datetime.now(datetime.UTC).replace(minute=0, second=0, microsecond=0)
    window = (hour, hour + datetime.timedelta(hours=1))
    ranks = {"logprobs": 1, "weights": 1}
    calls: dict[str, Call] = {
        "ServiceClient.close": lambda: (_closed(world), "success"),
        "ServiceClient.copy_weights": lambda: (service, world.kept),
        "ServiceClient.create_custom_loss": lambda: (service, one_datum_loss, ranks),
        "ServiceClient.create_lora_training_client": lambda: (service, world.base_model, 4),
        "ServiceClient.create_rest_client": lambda: (service,),
        "ServiceClient.create_sampling_client": lambda: (service, None, world.base_model),
        "ServiceClient.create_training_client_from_state": lambda: (service, world.kept),
        "ServiceClient.create_training_client_from_state_with_optimizer": lambda: (
            service,
            world.kept,
        ),
        "ServiceClient.get_server_capabilities": lambda: (service,),
        "TrainingClient.create_sampling_client": lambda: (training, world.kept),
        "TrainingClient.forward": lambda: (training, world.data, "cross_entropy"),
        "TrainingClient.forward_backward": lambda: (training, world.data, "cross_entropy"),
        "TrainingClient.forward_backward_custom": lambda: (training, world.data, loss),
        "TrainingClient.load_state": lambda: (training, world.kept),
        "TrainingClient.load_state_with_optimizer": lambda: (training, world.kept),
        "TrainingClient.optim_step": lambda: (training, kit.adam()),
        "TrainingClient.save_state": lambda: (training, world.name()),
        "TrainingClient.save_weights_and_get_sampling_client": lambda: (training,),
        "TrainingClient.save_weights_external": lambda: (training, world.name()),
        "TrainingClient.save_weights_for_sampler": lambda: (training, world.name()),
        "SamplingClient.compute_logprobs": lambda: (sampler, prompt),
        "SamplingClient.from_sampler_handle": lambda: (sampler, sampler.get_sampler_handle()),
        "SamplingClient.on_queue_state_change": lambda: (sampler, _queue_state(kit), None),
        "SamplingClient.sample": lambda: (sampler, prompt, 2, kit.params(max_tokens=2)),
        "RestClient.assign_session_project": lambda: (rest, world.session, "methods"),
        "RestClient.copy_weights": lambda: (rest, world.kept, "methods"),
        "RestClient.delete_checkpoint": lambda: (rest, *world.part(world.saved())),
        "RestClient.delete_checkpoint_from_tinker_path": lambda: (rest, world.saved()),
        "RestClient.export_session_trace": lambda: (rest, world.session),
        "RestClient.get_external_weights_urls": lambda: (
            rest,
            training.save_weights_external(world.name()).result(WAIT_S).path,
        ),
        "RestClient.get_sampler": lambda: (
            rest,
            rest.get_session(world.session).result(WAIT_S).sampler_ids[0],
        ),
        "RestClient.get_session": lambda: (rest, world.session),
        "RestClient.get_training_run": lambda: (rest, training.get_info().model_id),
        "RestClient.list_checkpoints": lambda: (rest, training.get_info().model_id),
        "RestClient.search_sessions": lambda: (
            rest,
            kit.client.types.SessionSearchRequest(display_name="methods"),
        ),
        "RestClient.set_checkpoint_ttl_from_tinker_path": lambda: (rest, world.kept, 7200),
    }
    for method in ("publish_checkpoint", "unpublish_checkpoint"):
        calls[f"RestClient.{method}_from_tinker_path"] = lambda: (rest, world.kept)
    for method in ("get_training_run_by_tinker_path", "get_weights_info_by_tinker_path"):
        calls[f"RestClient.{method}"] = lambda: (rest, world.kept)
    for owner, client in (("RestClient", rest), ("AdminClient", world.admin)):
        calls[f"{owner}.get_billing_usage"] = lambda client=client: (client, *window)
    return calls


def _queue_state(kit: Kit) -> Any:
    """The client's own word for waiting; ours is a text."""
    if kit.client.__name__ != "tinker":
        return "active"
    from tinker.lib.api_future_impl import QueueState

    return QueueState.ACTIVE


def every_method(kit: Kit, base_model: str, only: list[str] | None = None) -> list[dict[str, Any]]:
    """What became of a call of each public method: class, method, and the failure if any.

    `only` names the ones to call, as ``Class.method``; a client that lacks one raises.
    """
    world = World(kit, base_model)
    calls = _calls(world)
    clients = dict(
        zip(
            CLASSES,
            (world.service, world.training, world.sampler, world.rest, world.admin),
            strict=True,
        )
    )
    rows = []
    for owner in CLASSES:
        kind = getattr(kit.client, owner)
        for name in _methods(kind) if only is None else _chosen(owner, only):
            if (owner, name) == ("SamplingClient", "create"):
                arguments: Call = lambda: (world.sampler, world.service.holder)  # noqa: E731
                keywords = {"base_model": base_model}
            else:
                plain = f"{owner}.{name.removesuffix('_async')}"
                arguments = calls.get(plain, lambda owner=owner: (clients[owner],))
                keywords = {}
            outcome = failure(lambda: _run(name, arguments(), keywords))  # noqa: B023
            rows.append({"class": owner, "method": name, **outcome})
    return rows


def _methods(kind: type) -> list[str]:
    """Names of the public methods; properties are not called."""
    found = ((name, inspect.getattr_static(kind, name)) for name in dir(kind))
    return [
        name
        for name, item in found
        if not name.startswith("_") and (inspect.isfunction(item) or isinstance(item, staticmethod))
    ]


def _chosen(owner: str, names: list[str]) -> list[str]:
    """The methods of one class."""
    return [name.partition(".")[2] for name in names if name.startswith(f"{owner}.")]


def _run(name: str, call: tuple[Any, ...], keywords: dict[str, Any]) -> Any:
    client, *arguments = call
    method = getattr(client, name)
    if not inspect.iscoroutinefunction(method):
        value = done(method(*arguments, **keywords))
    else:

        async def wait() -> Any:
            value = await method(*arguments, **keywords)
            return await value if hasattr(value, "result_async") else value

        value = asyncio.run(wait())
    if hasattr(value, "metrics"):
        assert value.metrics is None or all(np.isfinite(list(value.metrics.values())))
    return None


# ---- options


def every_option(kit: Kit, base_model: str) -> list[dict[str, Any]]:
    """What became of each loss, optimizer, kind of input and kind of sampling."""
    world = World(kit, base_model)
    options = _losses(world) | _inputs(world) | _sampling(world) | _others(world)
    return [{"option": name, **failure(call)} for name, call in options.items()]


def _pass(world: World, datum: Any, loss_fn: str, config: Any = None) -> Any:
    return world.training.forward_backward([datum], loss_fn, config).result(WAIT_S)


def _losses(world: World) -> dict[str, Callable[[], Any]]:
    count = len(TOKENS) - 1
    shaped = {"weights": None, "logprobs": [-1.0] * count, "advantages": [0.5] * count}

    def against(name: str, config: Any = None, **more: Any) -> Callable[[], Any]:
        datum = world.kit.datum(TOKENS, **shaped, **more)
        return lambda: _pass(world, datum, name, config)

    clip = {"clip_low_threshold": 0.8, "clip_high_threshold": 1.2}
    ranks = {"logprobs": 1, "weights": 1}

    def by_handle() -> Any:
        handle = world.service.create_custom_loss(one_datum_loss, ranks).result(WAIT_S)
        return world.training.forward_backward_custom(world.data, handle)

    return {
        "loss cross_entropy": lambda: _pass(world, world.data[0], "cross_entropy"),
        "loss importance_sampling": against("importance_sampling"),
        "loss ppo": against("ppo", clip),
        "loss cispo": against("cispo", clip),
        "loss dro": against("dro", {"beta": 0.05}),
        "loss gspo": against("gspo", clip, sequence_ratio_mask=[1.0] * count),
        "loss stable_reinforce": lambda: _stable(world),
        "loss of one's own, in torch": lambda: world.training.forward_backward_custom(
            world.data, loss
        ),
        "loss of one's own, by create_custom_loss": by_handle,
    }


def _stable(world: World) -> Any:
    """Trains on a recorded sample."""
    kit, types = world.kit, world.kit.client.types
    sampler = done(world.training.save_weights_and_get_sampling_client(record_stability_info=True))
    prompt = TOKENS[:4]
    params = kit.params(max_tokens=6, stop=[], seed=1)
    answer = sampler.sample(kit.prompt(prompt), 1, params).result(WAIT_S).sequences[0]
    tokens = [*prompt, *answer.tokens]
    inputs = {"weights": None, "advantages": [0.0] * 3 + [0.5] * 6}
    name = answer.sequence_id
    prompts, sampled = types.PromptProvenanceSpan, types.SampledProvenanceSpan
    datum = kit.datum(tokens, **inputs).with_provenance(
        [prompts(sequence_id=name, length=4), sampled(sequence_id=name, length=5)],
        [prompts(sequence_id=name, offset=1, length=3), sampled(sequence_id=name, length=6)],
    )
    return _pass(world, datum, "stable_reinforce")


def _inputs(world: World) -> dict[str, Callable[[], Any]]:
    types = world.kit.client.types
    count = len(TOKENS) - 1
    text = types.ModelInput.from_ints(TOKENS[:-1])

    def several() -> Any:
        targets = np.array([TOKENS[1:], TOKENS[:-1]]).T
        inputs = {"target_tokens": targets, "weights": np.full(targets.shape, 0.5)}
        return _pass(world, types.Datum(model_input=text, loss_fn_inputs=inputs), "cross_entropy")

    def sparse() -> Any:
        def rows(data: list[Any], dtype: str) -> Any:
            return types.TensorData(
                data=data,
                dtype=dtype,
                shape=[count, 40],
                sparse_crow_indices=list(range(count + 1)),
                sparse_col_indices=[0] * count,
            )

        inputs = {
            "target_tokens": rows(TOKENS[1:], "int64"),
            "weights": rows([1.0] * count, "float32"),
        }
        return _pass(world, types.Datum(model_input=text, loss_fn_inputs=inputs), "cross_entropy")

    def chunk(made: Any) -> Callable[[], Any]:
        prompt = types.ModelInput(chunks=[made, types.EncodedTextChunk(tokens=TOKENS)])
        return lambda: world.sampler.sample(prompt, 1, world.kit.params(max_tokens=1))

    return {
        "targets, several a position": several,
        "targets, sparse": sparse,
        "image chunks": chunk(types.ImageChunk(data=b"png", format="png", expected_tokens=1)),
        "audio (dmel) chunks": chunk(types.DmelChunk(dmel=bytes([1, 1, 1, 0]))),
    }


def _sampling(world: World) -> dict[str, Callable[[], Any]]:
    kit, types = world.kit, world.kit.client.types
    prompt = kit.prompt(TOKENS)

    def ask(**more: Any) -> Callable[[], Any]:
        return lambda: world.sampler.sample(prompt, 1, kit.params(max_tokens=2), **more)

    targets = types.TensorData(data=TOKENS[1:], dtype="int64", shape=[len(TOKENS) - 1, 1])
    return {
        "sampling: include_prompt_logprobs": ask(include_prompt_logprobs=True),
        "sampling: topk_prompt_logprobs": ask(include_prompt_logprobs=True, topk_prompt_logprobs=3),
        "sampling: topk_sample_logprobs": ask(topk_sample_logprobs=3),
        "sampling: target_prompt_logprobs": ask(target_prompt_logprobs=targets),
        "sampling: prompt_alt_tokens_k": ask(prompt_alt_tokens_k=2),
        "sampling: prompt_logprobs_last_n": ask(
            include_prompt_logprobs=True, prompt_logprobs_last_n=3
        ),
        "sampling: kind inflight": lambda: world.training.save_weights_and_get_sampling_client(
            kind="inflight"
        ),
    }


def _others(world: World) -> dict[str, Callable[[], Any]]:
    kit, types, training = world.kit, world.kit.client.types, world.training
    return {
        "optimizer dimuon": lambda: world.service.create_lora_training_client(
            world.base_model, rank=4, optimizer=types.DimuonOptimizerConfig()
        ),
        "gradient clipping": lambda: training.optim_step(kit.adam(grad_clip_norm=1.0)),
        "checkpoints that expire": lambda: training.save_state(world.name(), ttl_seconds=3600),
        "checkpoints that are overwritten": lambda: training.save_state("saved0", overwrite=True),
        "external weights, encrypted with age": lambda: _save_encrypted(world),
    }


def _save_encrypted(world: World) -> None:
    """Saves for a key; the files say themselves whether they are encrypted for one."""
    key = "age1dwpvtrzmvnnrwqxefa07ntxafvkpytzsweg0tpc0gw3tnnsn75qst43mun"
    saved = world.training.save_weights_external(world.name(), age_encryption_recipients=[key])
    urls = done(world.rest.get_external_weights_urls(saved.result(WAIT_S).path)).urls
    assert sorted(urls) == ["adapter_config.json.age", "adapter_model.safetensors.age"]
    for url in urls.values():
        with urllib.request.urlopen(url, timeout=WAIT_S) as reply:
            assert reply.read().startswith(b"age-encryption.org/v1\n-> X25519 ")
