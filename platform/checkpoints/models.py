"""Saved weights as users see them; their files lie in the store under `key`."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Team, TeamQuerySet


class CheckpointQuerySet(TeamQuerySet):
    """Reads of checkpoints, for what is synchronous; `checkpoints.services` has them in raw SQL."""

    def live(self) -> Self:
        """Those that are not past their time, whether or not the sweep has been there."""
        return self.filter(Q(expires_at=None) | Q(expires_at__gt=Now()))

    def readable_by(self, team: Team) -> Self:
        """The team's own, and those that others have published."""
        return self.live().filter(Q(team=team) | Q(public=True))


class Checkpoint(models.Model):
    """Weights addressed `tinker://<run>/<segment>/<name>`."""

    class Segment(models.TextChoices):
        """What the weights are for, as the address says it."""

        TRAINING = "weights"
        SAMPLER = "sampler_weights"
        EXTERNAL = "external_weights"

    run = models.ForeignKey(
        "runs.TrainingRun", on_delete=models.PROTECT, related_name="checkpoints"
    )
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="checkpoints")
    segment = models.TextField(choices=Segment)
    name = models.TextField()
    key = models.TextField(unique=True)
    size_bytes = models.BigIntegerField()
    encrypted = models.BooleanField(
        db_default=False,
        help_text="Only the holders of the age keys it was saved for can read its files.",
    )
    user_metadata = models.JSONField(db_default={}, blank=True)
    public = models.BooleanField(db_default=False)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)
    step = models.BigIntegerField(
        null=True, blank=True, help_text="Of what its program had recorded last when it was saved."
    )
    restored_at = models.DateTimeField(
        null=True, blank=True, help_text="Since when its storage counts again, after an undo."
    )

    objects = CheckpointQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "segment", "name"], name="checkpoint_address"),
            models.CheckConstraint(condition=Q(size_bytes__gte=0), name="checkpoint_size"),
        ]
        indexes = [
            models.Index(fields=["team", "-created_at"], name="checkpoint_by_team"),
            models.Index(fields=["run", "segment", "-created_at"], name="checkpoint_newest"),
            models.Index(
                fields=["expires_at"],
                condition=Q(expires_at__isnull=False),
                name="checkpoint_by_expiry",
            ),
            models.Index(fields=["run"], condition=Q(public=True), name="checkpoint_public"),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """The `tinker://` address."""
        return f"tinker://{self.run_id}/{self.segment}/{self.name}"


class DeletedQuerySet(TeamQuerySet):
    """Reads of deleted checkpoints, for what is synchronous; `checkpoints.undo` has them in SQL."""

    def kept(self) -> Self:
        """Those that can still be brought back."""
        return self.filter(until__gt=Now())


class Deleted(models.Model):
    """A checkpoint that somebody deleted and may bring back: its row as it was, in no listing.

    It stands in a table of its own, so that nothing that looks for checkpoints can find it.
    """

    id = models.BigIntegerField(primary_key=True, help_text="The checkpoint's.")
    run = models.ForeignKey("runs.TrainingRun", on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    segment = models.TextField(choices=Checkpoint.Segment)
    name = models.TextField()
    key = models.TextField(unique=True)
    size_bytes = models.BigIntegerField()
    encrypted = models.BooleanField()
    user_metadata = models.JSONField()
    public = models.BooleanField()
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField(null=True, blank=True)
    step = models.BigIntegerField(null=True, blank=True)
    deleted_at = models.DateTimeField(db_default=Now())
    until = models.DateTimeField(help_text="Its files are kept, and it can be brought back.")

    objects = DeletedQuerySet.as_manager()

    class Meta:
        verbose_name = "deleted checkpoint"
        indexes = [
            models.Index(fields=["until"], name="deleted_by_end"),
            models.Index(fields=["team", "-deleted_at"], name="deleted_by_team"),
            models.Index(fields=["run", "-deleted_at"], name="deleted_by_run"),
        ]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """The `tinker://` address it had."""
        return f"tinker://{self.run_id}/{self.segment}/{self.name}"


class Leftover(models.Model):
    """Files that no checkpoint names any more, to be deleted as soon as nobody samples from them.

    Written in the transaction that makes them so, hence no crash forgets them.
    """

    key = models.TextField(primary_key=True)
    not_before = models.DateTimeField(db_default=Now())
    inflight_run_id = models.CharField(
        max_length=64,
        null=True,
        blank=True,
        help_text="They were the weights of this run's inflight samplers: samples claimed before"
        " `not_before` may still use them.",
    )

    class Meta:
        indexes = [models.Index(fields=["not_before"], name="leftover_by_time")]

    def __str__(self) -> str:
        return self.key


class Copy(models.Model):
    """What a request to copy has made, so that sending it again makes nothing more."""

    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="+")
    idempotency_key = models.TextField()
    path = models.TextField()
    created_at = models.DateTimeField(db_default=Now())

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "idempotency_key"], name="copy_once")
        ]

    def __str__(self) -> str:
        return self.path
