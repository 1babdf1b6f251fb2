"""Sessions, training runs and samplers as PostgreSQL keeps them.

The wire protocol's services write these tables in raw SQL, so defaults and invariants live in the
database.
"""

from __future__ import annotations

from typing import Self

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Team, TeamQuerySet
from catalog.models import BaseModel
from checkpoints.models import Checkpoint
from core.ids import DEFAULT_PROJECT


class Listening(models.Model):
    """For how long altogether some web process has been there to hear heartbeats: one row.

    Kept by `runs.listening`.
    """

    id = models.SmallIntegerField(primary_key=True, db_default=1)
    seconds = models.FloatField(db_default=0)
    renewed_at = models.DateTimeField(db_default=Now())

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(id=1), name="listening_is_one_clock"),
        ]

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s"


class SessionQuerySet(TeamQuerySet):
    """Reads of sessions, for what is synchronous; `runs.sessions` has them in raw SQL."""

    def open(self) -> Self:
        """Those that have not ended."""
        return self.filter(ended_at=None)

    def in_project(self, project_id: str) -> Self:
        """Those of a project; sessions without one count as the default's."""
        return self.filter(_in_project(project_id))


class TrainingRunQuerySet(TeamQuerySet):
    """Reads of training runs, for what is synchronous; `runs.listings` has them in raw SQL."""

    def accessible_to(self, team: Team) -> Self:
        """The team's own, and those of others that have published a checkpoint."""
        return self.filter(Q(team=team) | Q(pk__in=_published()))

    def in_project(self, project_id: str) -> Self:
        """Those whose sessions are a project's."""
        return self.filter(_in_project(project_id, "session__"))


def _in_project(project_id: str, to_session: str = "") -> Q:
    found = Q(**{f"{to_session}project_id": project_id})
    if project_id == DEFAULT_PROJECT:
        found |= Q(**{f"{to_session}project_id": None})
    return found


def _published() -> models.QuerySet:
    return Checkpoint.objects.live().filter(public=True).values("run")


class Session(models.Model):
    """One client process's stay, kept alive by heartbeats.

    Its project is a label that the team's programs choose: what runs, checkpoints and usage are
    found and added up by. A project exists as long as something bears its label, belongs to the
    team alone (the same label in another team is another project) and has nobody to administer
    it. Sessions without one count as `core.ids.DEFAULT_PROJECT`; everything follows the session.
    """

    class Reason(models.TextChoices):
        """Why a session ended: the first three are the client's to say."""

        SUCCESS = "success"
        ERRORED = "errored"
        INTERRUPTED = "interrupted"
        EXPIRED = "expired"
        CANCELLED = "cancelled"
        FAILED = "failed"

    id = models.CharField(max_length=36, primary_key=True)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="sessions")
    display_name = models.TextField(db_default="", blank=True)
    tags = ArrayField(models.TextField(), db_default=[], blank=True)
    user_metadata = models.JSONField(db_default={}, blank=True)
    sdk_version = models.TextField(db_default="", blank=True)
    project_id = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    heartbeat_at = models.DateTimeField(db_default=Now())
    heard_at_s = models.FloatField(
        db_default=0, help_text="What the clock of listening showed at the last heartbeat."
    )
    ended_at = models.DateTimeField(null=True, blank=True)
    end_reason = models.TextField(choices=Reason, null=True, blank=True)
    end_detail = models.TextField(null=True, blank=True)
    failed_run_id = models.TextField(
        null=True, blank=True, help_text="The run that could not go on, if one ended the session."
    )
    released_at = models.DateTimeField(
        null=True, blank=True, help_text="When the workers had freed what the session held."
    )
    results_forgotten_at = models.DateTimeField(
        null=True, blank=True, help_text="When the results of its operations had been deleted."
    )

    objects = SessionQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["team", "-created_at"], name="session_by_team"),
            models.Index(
                fields=["heard_at_s"], condition=Q(ended_at=None), name="session_by_last_heard"
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(ended_at__isnull=False, released_at=None),
                name="session_to_release",
            ),
            models.Index(
                fields=["ended_at"],
                condition=Q(ended_at__isnull=False, results_forgotten_at=None),
                name="session_with_results",
            ),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at=None, end_reason=None)
                | Q(ended_at__isnull=False, end_reason__isnull=False),
                name="session_end_has_reason",
            )
        ]

    def __str__(self) -> str:
        return self.id


class TrainingRun(models.Model):
    """One adapter being trained. How far it has come, its lane in the operation log says."""

    id = models.CharField(max_length=64, primary_key=True)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="runs")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="runs")
    number = models.BigIntegerField()
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="runs")
    rank = models.PositiveIntegerField()
    seed = models.BigIntegerField()
    train_attn = models.BooleanField(db_default=True)
    train_mlp = models.BooleanField(db_default=True)
    train_unembed = models.BooleanField(db_default=True)
    user_metadata = models.JSONField(db_default={}, blank=True)
    loaded_from = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    objects = TrainingRunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session", "number"], name="run_number_unique"),
            models.CheckConstraint(condition=Q(rank__gte=1), name="run_rank_positive"),
        ]
        indexes = [
            models.Index(fields=["team", "-created_at"], name="run_by_team"),
        ]

    def __str__(self) -> str:
        return self.id


class Parent(models.Model):
    """What a run's weights came from: a checkpoint that it was made from, loaded, or copies.

    Written with the outcome of what did it, hence never of what failed. The checkpoint may be gone,
    or another team's: its address is all that is kept.
    """

    class How(models.TextChoices):
        """How the weights came into the run."""

        CREATED = "created"
        LOADED = "loaded"
        COPIED = "copied"

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="parents")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    seq = models.BigIntegerField(help_text="The operation that did it; 0 made the run.")
    how = models.TextField(choices=How)
    source = models.TextField(help_text="The `tinker://` address.")
    source_run = models.TextField(help_text="The run in that address.")
    optimizer = models.BooleanField(
        null=True, blank=True, help_text="Whether the optimizer's state came along, if known."
    )
    created_at = models.DateTimeField(db_default=Now())

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="parent_once")]
        indexes = [models.Index(fields=["team", "source_run"], name="parent_by_source")]

    def __str__(self) -> str:
        return f"{self.source} of {self.run_id}"


class Sampler(models.Model):
    """Frozen weights ready to sample from: the base model alone, or with an adapter."""

    id = models.CharField(max_length=64, primary_key=True)
    session = models.ForeignKey(Session, on_delete=models.PROTECT, related_name="samplers")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="samplers")
    number = models.BigIntegerField()
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="samplers")
    run = models.ForeignKey(
        TrainingRun, null=True, blank=True, on_delete=models.PROTECT, related_name="samplers"
    )
    model_path = models.TextField(null=True, blank=True)
    weights_key = models.TextField(
        null=True, blank=True, help_text="Where the adapter lies in the store; none: base model."
    )
    ephemeral = models.BooleanField(db_default=False)
    inflight_seq = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The save of its run that its weights are from, if they follow later saves.",
    )
    created_at = models.DateTimeField(db_default=Now())

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["session", "number"], name="sampler_number_unique")
        ]
        indexes = [
            models.Index(
                fields=["weights_key"],
                condition=Q(weights_key__isnull=False),
                name="sampler_by_weights",
            )
        ]

    def __str__(self) -> str:
        return self.id


class Metric(models.Model):
    """One number that a program recorded about its run; the last value of a (key, step) counts."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="metrics")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=200)
    step = models.BigIntegerField()
    value = models.FloatField()
    time = models.DateTimeField(db_default=Now())

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "key", "step"], name="metric_unique"),
            models.CheckConstraint(condition=Q(step__gte=0), name="metric_step_from_zero"),
        ]
        indexes = [models.Index(fields=["run", "id"], name="metric_by_arrival")]

    def __str__(self) -> str:
        return f"{self.key}[{self.step}] of {self.run_id}"


class Rollout(models.Model):
    """One sampled episode that a program recorded; named by its step, group and index."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="rollouts")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    step = models.BigIntegerField()
    group = models.BigIntegerField()
    index = models.BigIntegerField()
    prompt = models.TextField(null=True, blank=True)
    completion = models.TextField(null=True, blank=True)
    prompt_tokens = ArrayField(models.IntegerField(), null=True, blank=True)
    completion_tokens = ArrayField(models.IntegerField(), null=True, blank=True)
    sequences = ArrayField(models.TextField(), null=True, blank=True)
    reward = models.FloatField(null=True, blank=True)
    components = models.JSONField(db_default={}, blank=True)
    tags = ArrayField(models.TextField(), null=True, blank=True)
    data = models.JSONField(db_default={}, blank=True)
    time = models.DateTimeField(db_default=Now())

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "step", "group", "index"], name="rollout_unique"
            ),
            models.CheckConstraint(
                condition=Q(step__gte=0) & Q(group__gte=0) & Q(index__gte=0),
                name="rollout_numbers_from_zero",
            ),
        ]

    def __str__(self) -> str:
        return f"rollout {self.step}/{self.group}/{self.index} of {self.run_id}"


class Sequence(models.Model):
    """What a sampler drew of a run's rollouts: int32 tokens, and float32 logprobs they have."""

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="sequences")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    name = models.TextField(help_text="The wire's `sequence_id`.")
    tokens = models.BinaryField()
    logprobs = models.BinaryField()

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "name"], name="sequence_unique")]

    def __str__(self) -> str:
        return f"{self.name} in {self.run_id}"
