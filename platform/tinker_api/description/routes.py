"""The wire protocol's routes: what each takes and gives."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Literal

from msgspec import Meta

from audit.services import GROUPS
from core.ids import DEFAULT_PROJECT
from core.openapi import Given, Raw, Route
from operations import bodies, order, results
from operations.order import Place
from tinker_api import json_results, queries, schemas, shapes
from tinker_api.views import (
    checkpoints,
    credentials,
    futures,
    histories,
    models,
    ordering,
    recordings,
    reports,
    runs,
    sampling,
    sessions,
    training,
)

PROTOBUF = "application/x-protobuf"
BINARY = {"type": "string", "format": "binary"}
CHECKPOINT = "training_runs/{run_id}/checkpoints/{segment}/{name}"

PARTS = {
    "session_id": "The session's id.",
    "sampler_id": "The sampler's id.",
    "run_id": "The training run's id, `<session>:train:<number>`.",
    "segment": "`weights`, `sampler_weights` or `external_weights`.",
    "name": "The checkpoint's, the file's or the base model's name; the latter may hold slashes.",
    "signed": "The signed part of an address that another route gave.",
}

_FULL = "The request body is larger than the server takes."
_ENDED = "The session has ended."
_FAST = "Answers at once; `retrieve_future` gives the result."
_PLACE = (
    f"A refusal's header `{order.HEADER}` says whether it `{Place.HELD}` the place of its `seq_id` "
    f"(later requests go on behind it) or left it `{Place.FREE}` for another request."
)


def _page(most: int = queries.MAX_PAGE) -> tuple[Given, Given]:
    limit = Annotated[int, Meta(ge=1, le=most)]
    return (
        Given("limit", limit, f"Rows a page, {queries.DEFAULT_PAGE} unless given."),
        Given("offset", schemas.Number, "Rows to leave out before the page."),
    )


_SCOPE = Given(
    "access_scope",
    Literal["owned", "accessible"],
    "`accessible` also shows what other teams have published.",
)
_PROJECT = Given(
    "project_id",
    schemas.ProjectId,
    f"Only of this project of the team's; `{DEFAULT_PROJECT}`: of sessions that have none.",
)


def _operation(body: Any, more: str, summary: str) -> Route:
    """An operation that a worker does."""
    return Route(
        takes=body,
        gives=training.Future,
        summary=summary,
        more=f"{more} {_FAST} Whatever is wrong with the body, but for its ids, fails the "
        f"operation with category `user` and leaves the run as it was. {_PLACE}",
        also={413: ((), _FULL)},
    )


START: dict[str, Route] = {
    "GET healthz": Route(gives=sessions.Health),
    "POST client/config": Route(takes=schemas.SdkVersion, gives=sessions.ClientConfig),
    "POST client/dynamic_config": Route(takes=schemas.SdkVersion, gives=sessions.DynamicConfig),
    "GET get_server_capabilities": Route(gives=sessions.Capabilities),
    "POST create_session": Route(takes=schemas.CreateSession, gives=sessions.SessionCreated),
    "POST session_heartbeat": Route(
        takes=schemas.SessionHeartbeat,
        gives=sessions.HeartbeatTaken,
        more="A session that is not heard of for ten minutes expires.",
        also={410: ((), _ENDED)},
    ),
    "POST sessions/{session_id}/finish": Route(takes=schemas.FinishSession, gives=shapes.Nothing),
    "POST telemetry": Route(gives=sessions.TelemetryTaken),
    "POST auth/token": Route(gives=credentials.Token),
    "GET auth/apikey/me": Route(gives=credentials.Key),
    "DELETE auth/apikey/me": Route(gives=shapes.Nothing),
}

TRAINING: dict[str, Route] = {
    "POST create_model": Route(
        takes=bodies.CreateModel,
        gives=training.Future,
        more=_FAST,
        also={410: ((), _ENDED)},
    ),
    "POST get_info": Route(takes=schemas.ModelId, gives=training.RunInfo),
    "POST forward_backward": Route(
        takes=(
            Raw(PROTOBUF, "A `ForwardBackwardRequest`.", BINARY),
            bodies.OldPassBody,
        ),
        gives=training.Future,
        more="The gradient adds up until the next `optim_step`; with `forward_only` there is "
        f"none. {_FAST} {_PLACE} Parts of a batch that wait behind a refused one are refused too.",
        also={413: ((), _FULL), 415: ((), "The body is in a form that this route does not read.")},
    ),
    "POST forward": Route(
        takes=bodies.OldPassBody,
        gives=training.Future,
        more=f"Newer clients ask `forward_backward` with `forward_only`. {_FAST} {_PLACE}",
        also={413: ((), _FULL), 415: ((), "The body is not JSON.")},
    ),
    "POST create_custom_loss": Route(
        takes=Raw("application/json", "A loss as an uploaded graph."),
        gives=training.Future,
        more="Not offered: every request is answered 400, with what to use instead.",
    ),
    "POST unload_model": Route(takes=schemas.ModelId, gives=training.Future),
    "POST optim_step": _operation(
        bodies.OptimStepBody, "Uses up the gradient.", "Step the optimizer"
    ),
    "POST save_weights": _operation(
        bodies.SaveWeightsBody,
        "The checkpoint holds the optimizer's state: training can go on from it.",
        "Save a checkpoint to train on from",
    ),
    "POST load_weights": Route(
        takes=(bodies.LoadWeightsBody, bodies.CreateFromCheckpoint),
        gives=training.Future,
        more=f"{_FAST} {_PLACE}",
        also={410: ((), _ENDED), 413: ((), _FULL)},
    ),
    "POST save_weights_for_sampler": _operation(
        bodies.SaveForSamplerBody,
        "Either a named checkpoint, or an ephemeral sampler that lives with its session.",
        "Save weights to sample from",
    ),
    "POST save_weights_external": _operation(
        bodies.SaveExternalBody,
        "PEFT files that other programs load. Recipients that nothing can be encrypted for are "
        "answered 400.",
        "Save weights for use elsewhere",
    ),
}

SAMPLING: dict[str, Route] = {
    "POST create_sampling_session": Route(
        takes=schemas.CreateSamplingSession,
        gives=sampling.SamplerCreated,
        also={410: ((), _ENDED)},
    ),
    "GET samplers/{sampler_id}": Route(gives=sampling.Sampler),
    "POST join_sampling_session": Route(takes=schemas.SamplingSessionId, gives=sampling.Joined),
    "POST asample": Route(
        takes=bodies.SampleBody,
        gives=sampling.SampleFuture,
        more=_FAST,
        also={413: ((), _FULL), 429: ((), "Too many samples are open; try again soon.")},
    ),
}

RESULTS: dict[str, Route] = {
    "POST retrieve_future": Route(
        takes=schemas.RetrieveFuture,
        gives=(
            results.RunMade,
            results.StepDone,
            results.WeightsLoaded,
            results.WeightsSaved,
            results.SamplerSaved,
            results.ExternalSaved,
            futures.RunUnloaded,
            json_results.OldPassResult,
            json_results.OldSampleResult,
            futures.ResultSize,
            futures.Failure,
            Raw(
                PROTOBUF,
                "The result: a `ForwardBackwardOutput`, a `SampleResponse`, or JSON. "
                "An operation that failed is a 200 with `error`.",
                BINARY,
            ),
        ),
        more="Held for up to 25 s. A result may be fetched as often as one likes. Passes and "
        "samples come as protobuf to those who accept it, which all releases since 0.25 do.",
        also={408: (futures.Waiting, "There is no result yet: ask again.")},
    ),
    "POST retrieve_futures": Route(
        takes=schemas.RetrieveFutures,
        gives=futures.Completions,
        more="Held for up to 25 s, or until there is news; where no worker serves the model, 3 s.",
    ),
    "POST cancel_future": Route(takes=schemas.CancelFuture, gives=futures.Cancelled),
}

THINGS: dict[str, Route] = {
    "GET models/{name}/tokenizer": Route(gives=models.Tokenizer),
    "GET training_runs": Route(given=(*_page(), _SCOPE, _PROJECT), gives=runs.TrainingRuns),
    "GET training_runs/{run_id}": Route(given=(_SCOPE,), gives=runs.TrainingRun),
    "GET training_runs/{run_id}/checkpoints": Route(given=_page(), gives=checkpoints.Checkpoints),
    "GET checkpoints": Route(given=_page(), gives=checkpoints.Checkpoints),
    "POST weights_info": Route(takes=schemas.TinkerPath, gives=checkpoints.WeightsInfo),
    "GET sessions": Route(given=(*_page(), _SCOPE), gives=histories.Sessions),
    "POST sessions/search": Route(takes=schemas.SearchSessions, gives=histories.FoundSessions),
    "GET sessions/{session_id}": Route(given=(_SCOPE,), gives=histories.Session),
    "GET sessions/{session_id}/trace_export": Route(gives=histories.TraceLink),
    "PUT sessions/{session_id}/project": Route(takes=schemas.SessionProject, gives=shapes.Nothing),
}

REPORTS: dict[str, Route] = {
    "GET audit": Route(
        given=(
            Given(
                "event_type",
                Literal[("all", *GROUPS)],
                "Only events of this group.",
            ),
            Given("day", date, "The day in UTC; today unless given."),
        ),
        gives=reports.AuditLog,
    ),
    "GET billing/usage/events": Route(
        given=(
            Given("starting_on", shapes.Moment, "A full hour.", required=True),
            Given(
                "ending_before",
                shapes.Moment,
                "A full hour, from 1 hour to 14 days after `starting_on`.",
                required=True,
            ),
        ),
        gives=reports.Usage,
    ),
    "GET billing/usage/checkpoints/current": Route(
        given=(_PROJECT,), gives=reports.CheckpointStorage
    ),
}

CHECKPOINTS: dict[str, Route] = {
    f"DELETE {CHECKPOINT}": Route(gives=shapes.Nothing),
    f"POST {CHECKPOINT}/publish": Route(gives=shapes.Nothing),
    f"DELETE {CHECKPOINT}/publish": Route(gives=shapes.Nothing),
    f"PUT {CHECKPOINT}/ttl": Route(
        takes=schemas.CheckpointTtl,
        gives=shapes.Nothing,
    ),
    f"GET {CHECKPOINT}/external_weights_urls": Route(gives=checkpoints.FileLinks),
    f"GET {CHECKPOINT}/archive": Route(gives=checkpoints.ArchiveLink),
    "POST copy_weights": Route(
        takes=schemas.CopyWeights,
        gives=checkpoints.Copied,
        given=(
            Given(
                "X-Idempotency-Key",
                Annotated[str, Meta(min_length=1, max_length=checkpoints.MAX_IDEMPOTENCY_KEY)],
                "The same key gives the same copy.",
                place="header",
            ),
            Given(
                "X-Tinker-Weights-Access-Token",
                str,
                "A key that may read the source; it goes before the body's.",
                place="header",
            ),
        ),
    ),
    "GET downloads/{signed}/{name}": Route(
        gives=Raw("application/octet-stream", "The file.", BINARY),
        given=(
            Given("Range", str, "`bytes=START-END`, one range of a checkpoint's file.", "header"),
            Given("If-Range", str, "The `ETag` of which one has the beginning.", "header"),
        ),
        also={
            206: (Raw("application/octet-stream", "A part of it.", BINARY), "The range."),
            410: ((), "The link has expired."),
            416: ((), "There are no such bytes."),
        },
    ),
}

ORDER: dict[str, Route] = {
    "POST runs/{run_id}/withdraw": Route(
        takes=schemas.Withdraw,
        gives=ordering.Withdrawn,
        more="Numbers that no request has come for are refused in its place. If the first of them "
        "is among those, nothing behind it has been begun, and what has come for the other numbers "
        f"is refused too. At most {order.MOST_AT_ONCE} numbers at once.",
    ),
}

_KEYS = Given("key", list[str], "Only these metrics; repeatable.")

RECORDINGS: dict[str, Route] = {
    "POST runs/{run_id}/metrics": Route(
        takes=recordings.Metrics, gives=recordings.Recorded, also={413: ((), _FULL)}
    ),
    "GET runs/{run_id}/metrics": Route(
        given=(
            _KEYS,
            Given("after", schemas.Number, "The `cursor` of the answer before."),
            Given(
                "limit",
                Annotated[int, Meta(ge=1, le=recordings.MAX_METRICS_PAGE)],
                "Rows, 1000 unless given.",
            ),
        ),
        gives=recordings.RecordedMetrics,
    ),
    "POST runs/{run_id}/rollouts": Route(
        takes=recordings.Rollouts, gives=recordings.Recorded, also={413: ((), _FULL)}
    ),
    "GET runs/{run_id}/rollouts": Route(
        given=(*_page(), Given("step", schemas.Number, "Only of this step.")),
        gives=recordings.RecordedRollouts,
    ),
}

ROUTES = {
    "Start-up and sessions": START,
    "Training": TRAINING,
    "Sampling": SAMPLING,
    "Results": RESULTS,
    "What there is": THINGS,
    "Checkpoints": CHECKPOINTS,
    "Order": ORDER,
    "Recordings": RECORDINGS,
    "Reports": REPORTS,
}
