"""The audit log's table. A trigger refuses changes: entries are added and read, nothing else."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Entry(models.Model):
    """One thing done. No foreign keys: entries outlive what they speak of."""

    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        related_name="+",
        null=True,
        blank=True,
        help_text="None: it concerns the whole installation.",
    )
    key_id = models.BigIntegerField(
        null=True, blank=True, help_text="The API key it was done with, if any."
    )
    user_id = models.BigIntegerField(
        null=True,
        blank=True,
        help_text="The person who did it, if any; neither key nor person: the platform itself.",
    )
    event = models.TextField(help_text="`<resource>.<what happened>`")
    target = models.TextField()
    details = models.JSONField(db_default={}, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "entries"
        indexes = [models.Index(fields=["team", "created_at"], name="audit_by_team")]

    def __str__(self) -> str:
        return f"{self.event} {self.target}"
