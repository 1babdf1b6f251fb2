"""Training runs: making them, asking about them, and the operations on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from catalog import services as catalog
from checkpoints import encryption, grants
from core.errors import BadRequest, UnsupportedMediaType
from core.json_bodies import Answer, Id, Request, told
from core.openapi import Raw, says
from operations import bodies
from operations import services as operations
from operations.models import Operation
from operations.services import PROTOBUF, Submitted
from runs import services as runs
from runs.services import CreateRunRequest
from tinker_api import words
from tinker_api.endpoint import JSON, Call
from tinker_api.scan import Ids, ScanError, scan_forward_backward
from tinker_api.shapes import BINARY, OptimizerFamily
from tinker_api.views.futures import UNLOADED

Handling = Callable[[Call], Awaitable["Future"]]


class ModelId(Request):
    """`get_info`."""

    model_id: Id


class Future(Answer):
    """The future of an operation on a run; `retrieve_future` takes its request id."""

    request_id: str
    model_id: str | None


class ModelData(Answer):
    """A run's base model."""

    arch: Annotated[str, told("The architecture.")]
    model_name: str
    tokenizer_id: str


class RunInfo(Answer):
    """What a training run is."""

    type: Literal["get_info"]
    model_id: str
    model_data: Annotated[ModelData, told("The base model.")]
    is_lora: bool
    lora_rank: int
    model_name: str
    optimizer_config: OptimizerFamily


def future(submitted: Submitted) -> Future:
    """The future of an operation on a run."""
    return Future(request_id=submitted.request_id, model_id=submitted.run_id)


@says(takes=bodies.CreateModel, more=words.FAST, also={410: ((), words.ENDED)})
async def create_model(call: Call) -> Future:
    """Make a training run with a fresh adapter."""
    wanted = call.json(bodies.CreateModel)
    lora = wanted.lora_config
    if lora is None:
        raise BadRequest("lora_config is missing: training is by LoRA only")
    _check_optimizer(wanted.optimizer_config)
    submitted = await runs.create_run(
        actor=call.actor,
        body=call.body,
        request=CreateRunRequest(
            session_id=wanted.session_id,
            number=wanted.model_seq_id,
            base_model=wanted.base_model,
            rank=lora.rank,
            seed=lora.seed,
            train_attn=lora.train_attn is not False,
            train_mlp=lora.train_mlp is not False,
            train_unembed=lora.train_unembed is not False,
            user_metadata=wanted.user_metadata or {},
        ),
    )
    return future(submitted)


def _check_optimizer(config: bodies.OptimizerConfig | None) -> None:
    if config is not None and config.type != "adamw":
        raise BadRequest(f"optimizer {config.type!r} is not offered; allowed: adamw")


@says(takes=ModelId)
async def get_info(call: Call) -> RunInfo:
    """What a training run is: its base model and its adapter."""
    wanted = call.json(ModelId)
    info = await runs.run_info(actor=call.actor, run_id=wanted.model_id)
    return RunInfo(
        type="get_info",
        model_id=wanted.model_id,
        model_data=ModelData(
            arch=info.family,
            model_name=info.base_model,
            tokenizer_id=catalog.shown_tokenizer_id(info.base_model, info.tokenizer_id),
        ),
        is_lora=True,
        lora_rank=info.rank,
        model_name=info.base_model,
        optimizer_config=OptimizerFamily(type="adamw"),
    )


@says(
    takes=(
        Raw(PROTOBUF, "A `ForwardBackwardRequest`.", BINARY),
        bodies.OldPassBody,
    ),
    more="The gradient adds up until the next `optim_step`; with `forward_only` there is "
    f"none. {words.FAST} {words.PLACE} Parts of a batch that wait behind a refused one are refused "
    "too.",
    also={413: ((), words.FULL), 415: ((), "The body is in a form that this route does not read.")},
)
async def forward_backward(call: Call) -> Future:
    """Queue a pass over a batch; the body is stored as it came. Old clients send JSON."""
    content_type = call.request.content_type or ""
    ids = _pass_ids(call, content_type)
    return future(
        await operations.submit_to_run(
            actor=call.actor,
            run_id=ids.model_id,
            seq=ids.seq_id,
            kind=Operation.Kind.FORWARD_BACKWARD,
            body=call.body,
            content_type=content_type,
        )
    )


def _pass_ids(call: Call, content_type: str) -> Ids:
    if content_type == JSON:
        ids = call.json(bodies.RunIds, nul_allowed=True)
        return Ids(ids.model_id, ids.seq_id)
    if content_type != PROTOBUF:
        raise UnsupportedMediaType(f"Content-Type is {content_type!r}; allowed: {PROTOBUF}, {JSON}")
    try:
        return scan_forward_backward(call.body)
    except ScanError as error:
        raise BadRequest(f"the body is not a ForwardBackwardRequest: {error}") from None


@says(
    takes=bodies.OldPassBody,
    more=f"Newer clients ask `forward_backward` with `forward_only`. {words.FAST} {words.PLACE}",
    also={413: ((), words.FULL), 415: ((), "The body is not JSON.")},
)
async def forward(call: Call) -> Future:
    """Queue a pass without gradients, as clients asked for it before there was protobuf."""
    if call.request.content_type != JSON:
        raise UnsupportedMediaType(
            f"Content-Type is {call.request.content_type!r}; allowed: {JSON}; protobuf goes to "
            "forward_backward, with forward_only"
        )
    return await forward_backward(call)


@says(takes=ModelId)
async def unload_model(call: Call) -> Future:
    """Answer old clients that are through with a run: idle ones give up their memory anyway."""
    wanted = call.json(ModelId)
    await runs.run_info(actor=call.actor, run_id=wanted.model_id)
    return Future(request_id=wanted.model_id + UNLOADED, model_id=wanted.model_id)


@says(
    takes=Raw("application/json", "A loss as an uploaded graph."),
    more="Not offered: every request is answered 400, with what to use instead.",
)
async def create_custom_loss(call: Call) -> Future:
    """Refuse losses as uploaded graphs: arbitrary code of users does not run in the worker."""
    raise BadRequest(
        "losses as uploaded graphs are not offered; use forward_backward_custom, which computes "
        "the loss in the client, or one of the server's losses"
    )


def _operation(body: Any, more: str, summary: str) -> Callable[[Handling], Handling]:
    """What the description says of an operation that a worker does."""
    return says(
        takes=body,
        summary=summary,
        more=f"{more} {words.FAST} Whatever is wrong with the body, but for its ids, fails the "
        f"operation with category `user` and leaves the run as it was. {words.PLACE}",
        also={413: ((), words.FULL)},
    )


def operation_on_run(kind: Operation.Kind) -> Callable[[Call], Awaitable[Future]]:
    """A handler that queues a JSON operation on a run; the worker reads all but the ids."""

    async def handler(call: Call) -> Future:
        # the rest goes into the log as bytes: there a NUL harms nobody
        ids = call.json(bodies.RunIds, nul_allowed=True)
        return future(
            await operations.submit_to_run(
                actor=call.actor, run_id=ids.model_id, seq=ids.seq_id, kind=kind, body=call.body
            )
        )

    return handler


optim_step = _operation(bodies.OptimStepBody, "Uses up the gradient.", "Step the optimizer")(
    operation_on_run(Operation.Kind.OPTIM_STEP)
)
save_weights = _operation(
    bodies.SaveWeightsBody,
    "The checkpoint holds the optimizer's state: training can go on from it.",
    "Save a checkpoint to train on from",
)(operation_on_run(Operation.Kind.SAVE_WEIGHTS))
save_weights_for_sampler = _operation(
    bodies.SaveForSamplerBody,
    "Either a named checkpoint, or an ephemeral sampler that lives with its session.",
    "Save weights to sample from",
)(operation_on_run(Operation.Kind.SAVE_WEIGHTS_FOR_SAMPLER))
queue_save_external = operation_on_run(Operation.Kind.SAVE_WEIGHTS_EXTERNAL)
load_into_run = operation_on_run(Operation.Kind.LOAD_WEIGHTS)


@_operation(
    bodies.SaveExternalBody,
    "PEFT files that other programs load. Recipients that nothing can be encrypted for are "
    "answered 400.",
    "Save weights for use elsewhere",
)
async def save_weights_external(call: Call) -> Future:
    """Queue a save of PEFT files. Wrong recipients are refused at once: one may be a secret key."""
    wanted = call.json(bodies.SaveExternalIds, nul_allowed=True)
    if wanted.age_encryption_recipients is not None:
        encryption.parse_recipients(wanted.age_encryption_recipients)
    return await queue_save_external(call)


@says(
    takes=(bodies.LoadWeightsBody, bodies.CreateFromCheckpoint),
    more=f"{words.FAST} {words.PLACE}",
    also={410: ((), words.ENDED), 413: ((), words.FULL)},
)
async def load_weights(call: Call) -> Future:
    """Load a checkpoint into a run, or make a new run from it: the ids given say which."""
    address = call.json(bodies.LoadWeightsAddress, nul_allowed=True)
    borrows = address.weights_access_token is not None
    if address.model_id is not None or address.seq_id is not None:
        return await (_load_borrowed(call) if borrows else load_into_run(call))
    wanted = call.json(bodies.CreateFromCheckpoint)
    _check_optimizer(wanted.optimizer_config)
    body = await grants.without_key(call.json(dict[str, Any])) if borrows else call.body
    submitted = await runs.create_run_from_checkpoint(
        actor=call.actor,
        body=body,
        session_id=wanted.session_id,
        number=wanted.model_seq_id,
        path=wanted.path,
        base_model=wanted.base_model,
        user_metadata=wanted.user_metadata or {},
        weights_access_token=wanted.weights_access_token,
    )
    return future(submitted)


async def _load_borrowed(call: Call) -> Future:
    """Load another team's checkpoint into a run; a bad access token fails the future."""
    ids = call.json(bodies.RunIds)
    kind, refusal = Operation.Kind.LOAD_WEIGHTS, None
    try:
        body = await grants.without_key(call.json(dict[str, Any]))
    except BadRequest as error:
        kind, refusal = Operation.Kind.REFUSED, error.detail
    return future(
        await operations.submit_to_run(
            actor=call.actor,
            run_id=ids.model_id,
            seq=ids.seq_id,
            kind=kind,
            body=body if refusal is None else refusal.encode(),
        )
    )
