"""The operation log's tables.

An operation's identity is (target, seq), which makes re-sends harmless. Bodies and results have
tables of their own, so that claiming and listing never read them.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Team
from catalog.models import BaseModel

# deaths of workers from which on an operation is claimed apart from others, and given up
SUSPECT, CONVICTED = 2, 5


class Worker(models.Model):
    """A process that holds base models and does operations, alive while it renews `alive_until`."""

    id = models.UUIDField(primary_key=True)
    pool = models.TextField()
    host = models.TextField()
    pid = models.PositiveIntegerField()
    started_at = models.DateTimeField(db_default=Now())
    alive_until = models.DateTimeField()
    lingering = models.BooleanField(
        db_default=False, help_text="It listens for work, so that nobody need ring."
    )
    models_served = models.JSONField(db_default=[], blank=True)
    report = models.JSONField(db_default={}, blank=True)

    class Meta:
        indexes = [models.Index(fields=["pool", "alive_until"], name="worker_by_pool")]

    def __str__(self) -> str:
        return f"{self.pool} on {self.host} ({self.pid})"


class Lane(models.Model):
    """The line in which a target's operations stand: each run and each sampler has one.

    A run's (`ordered`) belongs to one worker at a time and is done strictly by number:
    `claimed_seq` is the last operation handed to that worker, `applied_seq` the last one up to
    which all are finished, `snapshot_seq` the last one whose effect is in the recovery copy. All
    start at -1: creation is operation 0. A sampler's is done by anybody in any order; what is
    finished gets the next of its `completions`.
    """

    target = models.CharField(max_length=64, primary_key=True)
    session_id = models.CharField(max_length=36)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="lanes")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="lanes")
    ordered = models.BooleanField()
    worker = models.ForeignKey(
        Worker, null=True, blank=True, on_delete=models.SET_NULL, related_name="lanes"
    )
    claimed_seq = models.BigIntegerField(db_default=-1)
    applied_seq = models.BigIntegerField(db_default=-1)
    snapshot_seq = models.BigIntegerField(db_default=-1)
    snapshot_key = models.TextField(null=True, blank=True)
    restoring = models.BooleanField(
        db_default=False, help_text="Its worker is bringing it back after a crash."
    )
    restore_deaths = models.SmallIntegerField(
        db_default=0, help_text="How many workers in a row died while they restored it."
    )
    restore_failures = models.SmallIntegerField(
        db_default=0, help_text="How often in a row restoring it failed for what may pass."
    )
    restore_after = models.DateTimeField(
        null=True, blank=True, help_text="It is not to be restored again before."
    )
    completions = models.BigIntegerField(db_default=0, help_text="How many samples are finished.")
    joined = models.BigIntegerField(db_default=0, help_text="How many clients have joined it.")
    opened_at = models.DateTimeField(db_default=Now())
    moved_at = models.DateTimeField(db_default=Now(), help_text="When operations last finished.")
    closed_at = models.DateTimeField(
        null=True, blank=True, help_text="From when on it takes nothing: its session has ended."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(snapshot_seq__lte=models.F("applied_seq"))
                & Q(applied_seq__lte=models.F("claimed_seq")),
                name="lane_seqs_ordered",
            ),
            models.CheckConstraint(
                condition=Q(ordered=True) | Q(worker=None, snapshot_key=None, claimed_seq=-1),
                name="lane_of_a_sampler_is_nobodys",
            ),
        ]
        indexes = [
            models.Index(fields=["session_id"], name="lane_by_session"),
            models.Index(
                fields=["worker"], condition=Q(worker__isnull=False), name="lane_by_worker"
            ),
            models.Index(
                fields=["snapshot_key"],
                condition=Q(snapshot_key__isnull=False),
                name="lane_by_snapshot",
            ),
            models.Index(
                fields=["opened_at"],
                condition=Q(ordered=True, closed_at=None),
                name="lane_of_open_run",
            ),
        ]

    def __str__(self) -> str:
        return self.target


class Operation(models.Model):
    """One request for work on a run or a sampler."""

    class Kind(models.TextChoices):
        """What is asked for.

        `refused` holds the place of a request that was not accepted, `missing` that of one that
        never came: with it goes the gradient gathered so far.
        """

        CREATE_RUN = "create_run"
        CREATE_RUN_FROM_CHECKPOINT = "create_run_from_checkpoint"
        FORWARD_BACKWARD = "forward_backward"
        OPTIM_STEP = "optim_step"
        SAVE_WEIGHTS = "save_weights"
        LOAD_WEIGHTS = "load_weights"
        SAVE_WEIGHTS_FOR_SAMPLER = "save_weights_for_sampler"
        SAVE_WEIGHTS_EXTERNAL = "save_weights_external"
        SAMPLE = "sample"
        REFUSED = "refused"
        MISSING = "missing"

    class State(models.TextChoices):
        """queued → running → done or failed; back to queued only when a worker dies."""

        QUEUED = "queued"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    target = models.CharField(max_length=64)
    seq = models.BigIntegerField()
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="operations")
    pool = models.TextField()
    kind = models.TextField(choices=Kind)
    state = models.TextField(choices=State, db_default=State.QUEUED)
    cost = models.BigIntegerField(help_text="Bytes of the body.")
    worker_id = models.UUIDField(null=True, blank=True)
    deaths = models.SmallIntegerField(
        db_default=0, help_text="How many workers died while they had it in hand."
    )
    completion = models.BigIntegerField(
        null=True, blank=True, help_text="Of a sample: its place among its sampler's finished ones."
    )
    error = models.TextField(null=True, blank=True)
    error_category = models.TextField(null=True, blank=True)
    created_at = models.DateTimeField(db_default=Now())
    started_at = models.DateTimeField(null=True, blank=True, help_text="A worker claimed it.")
    began_at = models.DateTimeField(null=True, blank=True, help_text="An engine began it.")
    ended_at = models.DateTimeField(null=True, blank=True, help_text="The engine was through.")
    finished_at = models.DateTimeField(null=True, blank=True, help_text="Its outcome was written.")
    asked_at = models.DateTimeField(
        null=True, blank=True, help_text="From when on its client asked for the outcome."
    )
    delivered_at = models.DateTimeField(
        null=True, blank=True, help_text="The outcome was first given to its client."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "seq"], name="operation_once"),
            models.CheckConstraint(condition=Q(seq__gte=0), name="operation_seq_not_negative"),
            models.CheckConstraint(
                condition=Q(state="failed", error__isnull=False, error_category__isnull=False)
                | (~Q(state="failed") & Q(error=None, error_category=None)),
                name="operation_failure_has_error",
            ),
        ]
        indexes = [
            models.Index(
                fields=["pool", "target", "seq"],
                condition=Q(state="queued"),
                name="operation_queued",
            ),
            models.Index(
                fields=["worker_id"], condition=Q(state="running"), name="operation_running"
            ),
            models.Index(
                fields=["pool"],
                condition=Q(state="queued", deaths__gte=SUSPECT),
                name="operation_suspects",
            ),
            models.Index(fields=["team", "-id"], name="operation_by_team"),
            models.Index(
                fields=["target", "completion"],
                condition=Q(completion__isnull=False),
                name="operation_by_completion",
            ),
            models.Index(
                fields=["team"],
                condition=Q(kind="sample", state__in=["queued", "running"]),
                name="operation_open_samples",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target}:{self.seq} {self.kind}"


class Payload(models.Model):
    """An operation's body as it came. Deleted when neither the work nor a replay needs it."""

    operation = models.OneToOneField(Operation, primary_key=True, on_delete=models.CASCADE)
    content_type = models.TextField()
    body = models.BinaryField()
    reads = models.TextField(
        null=True, blank=True, help_text="Key of files in the store that are read beside it."
    )

    class Meta:
        indexes = [
            models.Index(
                fields=["reads"], condition=Q(reads__isnull=False), name="payload_by_files"
            )
        ]

    def __str__(self) -> str:
        return f"body of operation {self.operation_id}"


class Result(models.Model):
    """A finished operation's answer, ready to send."""

    operation = models.OneToOneField(Operation, primary_key=True, on_delete=models.CASCADE)
    content_type = models.TextField()
    body = models.BinaryField()

    def __str__(self) -> str:
        return f"result of operation {self.operation_id}"


class Turn(models.Model):
    """A stretch of an engine's time, and whom it went to.

    `shares` is `{team id: {run or sampler: [tokens, seconds]}}`: where several were served at once,
    the seconds are divided by tokens. They add up to the time in which the engine worked.
    """

    pool = models.TextField()
    base_model = models.TextField()
    worker_id = models.UUIDField()
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    pieces = models.IntegerField(help_text="How many passes, steps and the like it is made of.")
    shares = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["pool", "began_at"], name="turn_by_pool")]

    def __str__(self) -> str:
        return f"{self.base_model} from {self.began_at}"


class Delay(models.Model):
    """What kept one run or sampler from going on for a while, beside the work of others."""

    class Cause(models.TextChoices):
        """Brought back after a crash; its weights read from files; refused by a limit."""

        RESTORING = "restoring"
        SWAPPING = "swapping"
        LOADING = "loading"
        LIMITED = "limited"

    target = models.CharField(max_length=64)
    cause = models.TextField(choices=Cause)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        indexes = [
            models.Index(fields=["target", "began_at"], name="delay_by_target"),
            models.Index(fields=["began_at"], name="delay_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.target}: {self.cause} from {self.began_at}"


class Recording(models.Model):
    """What a sampler recorded of a sequence; its id is the wire's `sequence_id`."""

    id = models.TextField(primary_key=True)
    session_id = models.CharField(max_length=36)
    tokens = models.BinaryField()
    logprobs = models.BinaryField()
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [models.Index(fields=["created_at"], name="recording_by_age")]

    def __str__(self) -> str:
        return f"recording of {self.id}"
