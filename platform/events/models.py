"""The table of events, and up to where they have been deleted.

An event bears the number of the transaction that wrote it: by it, and not by its own number, a
reader tells what it has seen (`events.reader`).
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Func, Q
from django.db.models.functions import Now


class TransactionId(models.Field):
    """PostgreSQL's 64-bit transaction number, which never comes round."""

    def db_type(self, connection: Any) -> str:
        """The column's type."""
        return "xid8"


class CurrentTransaction(Func):
    """The number of the transaction that writes the row."""

    function = "pg_current_xact_id"
    arity = 0
    output_field = TransactionId()


class Kind(models.TextChoices):
    """What has happened, `<resource>.<what>`; docs/live.md says what the data of each holds."""

    SESSION_BEGUN = "session.begun"
    SESSION_MOVED = "session.moved"
    SESSION_ENDED = "session.ended"
    RUN_CREATED = "run.created"
    RUN_LOADED = "run.loaded"
    RUN_ENDED = "run.ended"
    SAMPLER_CREATED = "sampler.created"
    METRICS_LOGGED = "metrics.logged"
    ROLLOUTS_LOGGED = "rollouts.logged"
    STEPS_CAPTURED = "steps.captured"
    CHECKPOINT_SAVED = "checkpoint.saved"
    CHECKPOINT_PUBLISHED = "checkpoint.published"
    CHECKPOINT_UNPUBLISHED = "checkpoint.unpublished"
    CHECKPOINT_TTL_SET = "checkpoint.ttl_set"
    CHECKPOINT_DELETED = "checkpoint.deleted"
    CHECKPOINT_EXPIRED = "checkpoint.expired"
    CHECKPOINT_RESTORED = "checkpoint.restored"
    CHECKPOINT_PURGED = "checkpoint.purged"
    MEMBER_ADDED = "member.added"
    MEMBER_CHANGED = "member.changed"
    MEMBER_REMOVED = "member.removed"
    KEY_CREATED = "key.created"
    KEY_CHANGED = "key.changed"
    KEY_REVOKED = "key.revoked"


class Event(models.Model):
    """Something that a page shows has happened. No foreign keys: it speaks of what may be gone."""

    xid = TransactionId(db_default=CurrentTransaction(), editable=False)
    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    run_id = models.TextField(null=True, blank=True, help_text="The run it belongs to, if any.")
    kind = models.TextField(choices=Kind)
    about = models.TextField(help_text="Whom it happened to: an id, an address.")
    data = models.JSONField(db_default={}, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        indexes = [
            models.Index(fields=["xid"], name="event_by_transaction"),
            models.Index(fields=["team", "xid"], name="event_of_team"),
            models.Index(
                fields=["run_id", "xid"], condition=Q(run_id__isnull=False), name="event_of_run"
            ),
            # those that somebody who was away is told of, among the many that tell of metrics
            models.Index(
                fields=["team", "created_at"],
                condition=Q(kind__in=[Kind.RUN_CREATED, Kind.RUN_ENDED, Kind.CHECKPOINT_SAVED]),
                name="event_to_come_back_to",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.about}"


class Forgotten(models.Model):
    """The youngest transaction of which an event has been deleted: one row, none before."""

    id = models.SmallIntegerField(primary_key=True, db_default=1)
    xid = TransactionId()

    class Meta:
        verbose_name = verbose_name_plural = "forgotten events"
        constraints = [models.CheckConstraint(condition=Q(id=1), name="forgotten_is_one_row")]

    def __str__(self) -> str:
        return f"up to transaction {self.xid}"


class Seen(models.Model):
    """Up to where somebody has seen what happened in a team, and how its runs stood then."""

    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="+")
    team = models.ForeignKey("accounts.Team", on_delete=models.CASCADE, related_name="+")
    cursor = models.TextField()
    seen_at = models.DateTimeField()
    headlines = models.JSONField(
        db_default={}, blank=True, help_text="Of open runs: the headline's key, step and value."
    )

    class Meta:
        verbose_name_plural = "seen"
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="seen_once")]

    def __str__(self) -> str:
        return f"{self.user_id} has seen team {self.team_id} up to {self.seen_at}"
