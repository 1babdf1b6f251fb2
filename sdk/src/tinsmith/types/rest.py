"""What listings show: training runs, checkpoints, sessions, and who one is."""

from __future__ import annotations

from datetime import datetime

from tinsmith._words.mistakes import Struct
from tinsmith.types.results import CheckpointType, OptimizerOfRun


class Cursor(Struct, frozen=True, kw_only=True):
    """Where in a listing a page lies: ``total_count`` is how many there are in all."""

    offset: int
    limit: int
    total_count: int


class Checkpoint(Struct, frozen=True, kw_only=True):
    """Saved weights.

    Attributes:
        checkpoint_id: ``weights/<name>``, ``sampler_weights/<name>`` or
            ``external_weights/<name>``.
        checkpoint_type: ``training``, ``sampler`` or ``external``.
        time: when it was saved.
        tinker_path: its address, ``tinker://<run>/<checkpoint_id>``.
        size_bytes: size of its files.
        public: whether other teams may read it.
        user_metadata: texts kept with it.
        expires_at: when it will be deleted; None keeps it.
    """

    checkpoint_id: str
    checkpoint_type: CheckpointType
    time: datetime
    tinker_path: str
    size_bytes: int | None = None
    public: bool = False
    user_metadata: dict[str, str] | None = None
    expires_at: datetime | None = None


class CheckpointsListResponse(Struct, frozen=True, kw_only=True):
    """A page of checkpoints, newest first."""

    checkpoints: list[Checkpoint]
    cursor: Cursor | None = None


class CheckpointArchiveUrlResponse(Struct, frozen=True, kw_only=True):
    """Where a checkpoint can be fetched as one tar file, without a key, until ``expires``."""

    url: str
    expires: datetime


class ExternalWeightsUrlsResponse(Struct, frozen=True, kw_only=True):
    """Where a checkpoint's files can be fetched, without a key, until ``expires``."""

    urls: dict[str, str]
    expires: datetime


class SaveWeightsExternalResponse(Struct, frozen=True, kw_only=True):
    """Result of ``save_weights_external``: the checkpoint's ``tinker://`` path."""

    path: str
    size_bytes: int | None = None
    type: str | None = None


class CopyWeightsResponse(Struct, frozen=True, kw_only=True):
    """The path of a copy."""

    tinker_path: str


class WeightsInfoResponse(Struct, frozen=True, kw_only=True):
    """What a checkpoint holds, as far as one needs it to make a run from it."""

    base_model: str
    is_lora: bool
    lora_rank: int | None = None
    train_unembed: bool | None = None
    train_mlp: bool | None = None
    train_attn: bool | None = None
    optimizer_config: OptimizerOfRun = OptimizerOfRun()


class TrainingRun(Struct, frozen=True, kw_only=True):
    """A training run as listings show it.

    Attributes:
        training_run_id: ``<session>:train:<n>``.
        model_owner: the team.
        corrupted: whether its weights are lost.
        last_request_time: when something was last asked of it.
        last_checkpoint, last_sampler_checkpoint: the newest of each kind.
    """

    training_run_id: str
    base_model: str
    model_owner: str
    is_lora: bool
    last_request_time: datetime
    corrupted: bool = False
    lora_rank: int | None = None
    last_checkpoint: Checkpoint | None = None
    last_sampler_checkpoint: Checkpoint | None = None
    user_metadata: dict[str, str] | None = None


class TrainingRunsResponse(Struct, frozen=True, kw_only=True):
    """A page of training runs, newest first."""

    training_runs: list[TrainingRun]
    cursor: Cursor


class ListSessionsResponse(Struct, frozen=True, kw_only=True):
    """A page of session ids, newest first."""

    sessions: list[str]


class GetSessionResponse(Struct, frozen=True, kw_only=True):
    """What was made in a session."""

    training_run_ids: list[str]
    sampler_ids: list[str]
    user_metadata: dict[str, str] | None = None
    display_name: str | None = None


class TraceExport(Struct, frozen=True, kw_only=True):
    """How far the export of a session's trace is; ``ready`` has a url."""

    status: str
    url: str | None = None
    error: str | None = None


class WhoamiResponse(Struct, frozen=True, kw_only=True):
    """Whose key it is."""

    user_urn: str
    org_urn: str
    email: str | None = None


class AuthTokenResponse(Struct, frozen=True, kw_only=True):
    """A short-lived token given for a key."""

    jwt: str


class ApiKeyOrganization(Struct, frozen=True, kw_only=True):
    """The team a key belongs to."""

    name: str


class ApiKeyUser(Struct, frozen=True, kw_only=True):
    """The user a key was made for."""

    email: str


class ApiKeyDetails(Struct, frozen=True, kw_only=True):
    """Whom a key belongs to."""

    org_details: ApiKeyOrganization
    user_details: ApiKeyUser


class ApiKeyInfo(Struct, frozen=True, kw_only=True):
    """What the server says of an API key."""

    key_id: int
    name: str
    note: str
    details: ApiKeyDetails
