"""What an operation means: work for the engine, the answer it gives, the rows it brings forth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from psycopg import Connection

from checkpoints import grants, store
from checkpoints import services as checkpoints
from core import ids
from gpu_workers.engine.types import (
    AdapterSpec,
    CreateRun,
    DropGradient,
    LoadState,
    PublishSampler,
    RunWork,
    Sample,
    SampleResult,
    SaveState,
    UserError,
)
from gpu_workers.reading import answers, bodies, passes, references
from operations import recordings, results
from operations.bodies import CreateFromCheckpoint, LoadWeightsBody, SaveWeightsBody
from operations.claims import AdoptedRun, Claimed
from operations.finish import Conflict, Effect
from runs import ephemeral as runs
from runs import parents
from usage.models import Kind
from usage.services import Used


@dataclass(slots=True)
class Plan:
    """An operation on a run, ready for the engine.

    `work` is done in order; the result of the last makes the answer. `used` goes into the ledger.
    `changes_run` is False for operations that a replay may leave out; `snapshot_after` asks for a
    recovery copy at once, because a replay could not do the work again later. `writes` is the store
    key of the files that it writes.
    """

    work: list[RunWork]
    answer: Callable[[Any], answers.Answer]
    effect: Callable[[Any], Effect] | None = None
    used: Callable[[Any], list[Used]] | None = None
    changes_run: bool = True
    snapshot_after: bool = False
    writes: str | None = None


def spec_of(run: AdoptedRun) -> AdapterSpec:
    """The shape of a run's adapter."""
    return AdapterSpec(run.rank, run.seed, run.train_attn, run.train_mlp, run.train_unembed)


def plan(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    """What `operation` on `run` asks for.

    Raises:
        UserError: the body is at fault.
    """
    return _PLANNERS[operation.kind](conn, run, operation)


def _create_run(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    return Plan(
        [CreateRun(spec_of(run))],
        lambda _: answers.json(results.RunMade(type="create_model", model_id=run.id)),
    )


def _create_run_from_checkpoint(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    body = bodies.decode(operation.body, CreateFromCheckpoint)
    load = _load(conn, run, body.path, body.weights_access_token, optimizer=bool(body.optimizer))
    load.creates = True
    return Plan(
        [CreateRun(spec_of(run)), load],
        lambda _: answers.json(
            results.WeightsLoaded(type="load_weights", path=body.path, model_id=run.id)
        ),
        _parent_effect(run, operation, parents.How.CREATED, body),
        snapshot_after=True,
    )


def _forward_backward(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    replayed = operation.seq <= run.applied_seq

    def find(sequence_ids: list[str]) -> dict[str, recordings.Recorded]:
        return recordings.find(
            conn,
            session_id=run.id.partition(":")[0],
            sequence_ids=sequence_ids,
            at_any_age=replayed,
        )

    work = passes.forward_backward(operation.body, operation.content_type, find)
    references.use(conn, run, operation, work)
    tokens = sum(len(datum.tokens) for datum in work.data)
    scored = tokens * (work.forward_only + references.reads_twice(work))
    used = [Used(Kind.SCORE, scored)] if scored else []
    if not work.forward_only:
        used.append(Used(Kind.TRAIN, tokens))
    return Plan([work], answers.forward_backward, used=lambda _: used)


def used_by_sample(work: Sample) -> Callable[[SampleResult], list[Used]]:
    """What a sample costs its team, once its result is there."""

    def used(result: SampleResult) -> list[Used]:
        cached = min(result.prompt_cache_hit_tokens, len(work.prompt))
        return [
            Used(Kind.PREFILL, len(work.prompt) - cached),
            Used(Kind.PREFILL_CACHED, cached),
            Used(Kind.SAMPLE, sum(len(sequence.tokens) for sequence in result.sequences)),
        ]

    return used


def _optim_step(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    return Plan(
        [bodies.optim_step(operation.body)],
        lambda result: answers.json(results.StepDone(type="optim_step", metrics=result.metrics)),
    )


def _load_weights(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    body = bodies.decode(operation.body, LoadWeightsBody)
    return Plan(
        [_load(conn, run, body.path, body.weights_access_token, optimizer=bool(body.optimizer))],
        lambda _: answers.json(
            results.WeightsLoaded(type="load_weights", path=body.path, model_id=run.id)
        ),
        _parent_effect(run, operation, parents.How.LOADED, body),
        snapshot_after=True,
    )


def _parent_effect(
    run: AdoptedRun,
    operation: Claimed,
    how: parents.How,
    body: CreateFromCheckpoint | LoadWeightsBody,
) -> Callable[[Any], Effect]:
    """Keep where the run's weights came from, for the operation's body is kept only for a while."""

    def write(conn: Connection) -> None:
        parents.note(
            conn,
            run_id=run.id,
            seq=operation.seq,
            how=how,
            source=body.path,
            optimizer=bool(body.optimizer),
        )

    return lambda _: write


def _load(
    conn: Connection, run: AdoptedRun, path: str, grant: str | None, *, optimizer: bool
) -> LoadState:
    teams = [run.team_id] if grant is None else [run.team_id, grants.team_of(grant)]
    found = checkpoints.find_for_worker(conn, team_ids=teams, path=path)
    if found is None:
        raise UserError(f"there is no checkpoint {path}")
    bodies.require_plain(found)
    if found.base_model != run.base_model:
        raise UserError(
            f"{path} was trained on {found.base_model}, this run is on {run.base_model}"
        )
    return LoadState(store.path(found.key), optimizer=optimizer)


def _save_weights(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    body = bodies.decode(operation.body, SaveWeightsBody)
    address = ids.CheckpointPath(run.id, "weights", bodies.checkpoint_name(body.path))
    metadata = bodies.as_text(body.user_metadata or {})
    bodies.ttl(body.ttl_seconds)
    key = store.checkpoint_key(run.id, address.segment, address.name, operation.seq)

    def effect(result: Any) -> Effect:
        return _checkpoint_effect(
            address, key, result.size_bytes, metadata, body.ttl_seconds, body.overwrite
        )

    return Plan(
        [SaveState(store.path(key))],
        lambda _: answers.json(results.WeightsSaved(type="save_weights", path=str(address))),
        effect,
        used=_one_checkpoint,
        changes_run=False,
        writes=key,
    )


def _save_weights_for_sampler(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    body = bodies.save_for_sampler(operation.body)
    if body.path is None:
        return _publish_ephemeral(
            run,
            operation,
            body.sampling_session_seq_id or 0,
            inflight=body.kind == "inflight",
        )
    address = ids.CheckpointPath(run.id, "sampler_weights", body.path)
    metadata = bodies.as_text(body.user_metadata or {})
    key = store.checkpoint_key(run.id, address.segment, address.name, operation.seq)

    def effect(result: Any) -> Effect:
        return _checkpoint_effect(
            address, key, result.size_bytes, metadata, body.ttl_seconds, overwrite=False
        )

    return Plan(
        [PublishSampler(key, store.path(key))],
        lambda _: answers.json(
            results.SamplerSaved(type="save_weights_for_sampler", path=str(address))
        ),
        effect,
        used=_one_checkpoint,
        changes_run=False,
        writes=key,
    )


def _save_weights_external(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    """Like `save_weights`, without the optimizer's state: what PEFT and vLLM load."""
    body = bodies.save_external(operation.body)
    encrypt_for = bodies.recipients(body)
    address = ids.CheckpointPath(run.id, "external_weights", body.path)
    key = store.checkpoint_key(run.id, address.segment, address.name, operation.seq)

    def effect(result: Any) -> Effect:
        return _checkpoint_effect(
            address,
            key,
            result.size_bytes,
            {},
            body.ttl_seconds,
            overwrite=False,
            encrypted=bool(encrypt_for),
        )

    return Plan(
        [SaveState(store.path(key), optimizer=False, encrypt_for=encrypt_for)],
        lambda result: answers.json(
            results.ExternalSaved(
                type="save_weights_external", path=str(address), size_bytes=result.size_bytes
            )
        ),
        effect,
        used=_one_checkpoint,
        changes_run=False,
        writes=key,
    )


def _one_checkpoint(result: Any) -> list[Used]:
    return [Used(Kind.CHECKPOINT, 1)]


def _publish_ephemeral(run: AdoptedRun, operation: Claimed, number: int, *, inflight: bool) -> Plan:
    session_id = run.id.partition(":")[0]
    sampler_id = ids.sampler_id(session_id, number)
    if inflight:
        key = store.inflight_key(run.id, operation.seq)
    else:
        key = store.sampler_key(sampler_id, run.id, operation.seq)
    seq = operation.seq if inflight else None

    def write(conn: Connection) -> None:
        if inflight:
            runs.renew_inflight(conn, run_id=run.id, key=key, seq=operation.seq)
        if not runs.make_ephemeral(
            conn, sampler_id=sampler_id, run_id=run.id, number=number, key=key, seq=seq
        ):
            raise Conflict(f"the session has a sampler {sampler_id} already")

    return Plan(
        [PublishSampler(key, store.path(key))],
        lambda _: answers.json(
            results.SamplerSaved(
                type="save_weights_for_sampler", path=None, sampling_session_id=sampler_id
            )
        ),
        lambda _: write,
        changes_run=False,
        writes=key,
    )


def recording(request_id: str, result: SampleResult) -> Effect:
    """Keep what was sampled with `record_stability_info`."""
    sequences = [
        recordings.Recorded(sequence.tokens, sequence.logprobs) for sequence in result.sequences
    ]

    def write(conn: Connection) -> None:
        recordings.record(conn, request_id=request_id, sequences=sequences)

    return write


def _checkpoint_effect(
    address: ids.CheckpointPath,
    key: str,
    size_bytes: int,
    user_metadata: dict[str, str],
    ttl_seconds: int | None,
    overwrite: bool | None,
    *,
    encrypted: bool = False,
) -> Effect:
    def effect(conn: Connection) -> None:
        if not checkpoints.record(
            conn,
            run_id=address.run_id,
            segment=address.segment,
            name=address.name,
            key=key,
            size_bytes=size_bytes,
            user_metadata=user_metadata,
            ttl_seconds=ttl_seconds,
            overwrite=bool(overwrite),
            encrypted=encrypted,
        ):
            raise Conflict(
                f"there is a checkpoint {address} already; "
                "choose another name"
                + (" or pass overwrite" if address.segment == "weights" else "")
            )

    return effect


def _refused(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    raise UserError(operation.body.decode(errors="replace"))


def _missing(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    """A request that never came: what was gathered of its batch goes."""
    words = operation.body.decode(errors="replace")

    def fail(_: Any) -> NoReturn:
        raise UserError(words)

    return Plan([DropGradient()], fail)


def _diverged(conn: Connection, run: AdoptedRun, operation: Claimed) -> Plan:
    """Of a replay: a step that was not taken, and dropped the gradient all the same."""
    return Plan(
        [DropGradient()], lambda _: answers.json(results.StepDone(type="optim_step", metrics={}))
    )


_PLANNERS: dict[str, Callable[[Connection, AdoptedRun, Claimed], Plan]] = {
    "create_run": _create_run,
    "create_run_from_checkpoint": _create_run_from_checkpoint,
    "forward_backward": _forward_backward,
    "optim_step": _optim_step,
    "save_weights": _save_weights,
    "load_weights": _load_weights,
    "save_weights_for_sampler": _save_weights_for_sampler,
    "save_weights_external": _save_weights_external,
    "refused": _refused,
    "missing": _missing,
    "diverged": _diverged,
}
