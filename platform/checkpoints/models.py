"""Saved weights as users see them; their files lie in the store under `key`."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models import Team
from runs.models import TeamQuerySet, TrainingRun


class Checkpoint(models.Model):
    """Weights addressed `tinker://<run>/<segment>/<name>`."""

    class Segment(models.TextChoices):
        """What the weights are for, as the address says it."""

        TRAINING = "weights"
        SAMPLER = "sampler_weights"
        EXTERNAL = "external_weights"

    run = models.ForeignKey(TrainingRun, on_delete=models.PROTECT, related_name="checkpoints")
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="checkpoints")
    segment = models.TextField(choices=Segment)
    name = models.TextField()
    key = models.TextField(unique=True)
    size_bytes = models.BigIntegerField()
    user_metadata = models.JSONField(db_default={}, blank=True)
    public = models.BooleanField(db_default=False)
    created_at = models.DateTimeField(db_default=Now())
    expires_at = models.DateTimeField(null=True, blank=True)

    objects = TeamQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "segment", "name"], name="checkpoint_address"),
            models.CheckConstraint(condition=Q(size_bytes__gte=0), name="checkpoint_size"),
        ]
        indexes = [models.Index(fields=["team", "-created_at"], name="checkpoint_by_team")]

    def __str__(self) -> str:
        return self.path

    @property
    def path(self) -> str:
        """The `tinker://` address."""
        return f"tinker://{self.run_id}/{self.segment}/{self.name}"
