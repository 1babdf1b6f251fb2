"""The ledger. Triggers refuse changes: rows are added and read, nothing else."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now


class Kind(models.TextChoices):
    """What was used: tokens, or checkpoints made."""

    TRAIN = "train"
    SCORE = "score"
    PREFILL = "prefill"
    PREFILL_CACHED = "prefill_cached"
    SAMPLE = "sample"
    CHECKPOINT = "checkpoint"


class Entry(models.Model):
    """What one operation used of one kind, at the price of the moment.

    No foreign keys: entries outlive what they speak of.
    """

    operation_id = models.BigIntegerField()
    kind = models.TextField(choices=Kind)
    team = models.ForeignKey(
        "accounts.Team", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    session_id = models.TextField()
    target = models.TextField(help_text="The training run or sampler.")
    base_model = models.TextField()
    quantity = models.BigIntegerField(help_text="Tokens; of checkpoints their number.")
    price = models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="USD for a million tokens, as the catalog had it then.",
    )
    created_at = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name_plural = "entries"
        constraints = [
            models.UniqueConstraint(fields=["operation_id", "kind"], name="usage_once"),
            models.CheckConstraint(
                condition=models.Q(quantity__gte=0), name="usage_quantity_not_negative"
            ),
        ]
        indexes = [
            models.Index(fields=["team", "created_at"], name="usage_by_team"),
            models.Index(fields=["target"], name="usage_by_target"),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.kind} for {self.target}"


class DayTotal(models.Model):
    """The ledger of a run, its samplers included, added up for a day of UTC.

    A trigger on the ledger writes it in the transaction of the entries, so that no way of entering
    something can forget it. Runs have rows of their own, so none waits for another.
    """

    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    target = models.TextField(
        help_text="The training run; of a sampler that is of none of the team's, the sampler."
    )
    day = models.DateField()
    base_model = models.TextField()
    train = models.BigIntegerField(help_text="Tokens, as of the other kinds.")
    score = models.BigIntegerField()
    prefill = models.BigIntegerField()
    prefill_cached = models.BigIntegerField()
    sample = models.BigIntegerField()
    checkpoint = models.BigIntegerField(help_text="How many were made.")
    # in millionths of a USD; none of what had no price
    train_cost = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    score_cost = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    prefill_cost = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    prefill_cached_cost = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    sample_cost = models.DecimalField(max_digits=30, decimal_places=6, null=True)
    unpriced = models.BigIntegerField(help_text="Tokens that had no price.")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "day"], name="day_total_once"),
        ]
        indexes = [models.Index(fields=["team", "day"], name="day_total_by_team")]

    def __str__(self) -> str:
        return f"{self.target} on {self.day}"


class MonthTotal(models.Model):
    """The same for a month: what teams' runs are put in order by, the days say the rest."""

    team = models.ForeignKey(
        "accounts.Team",
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    target = models.TextField(help_text="As of a day total.")
    month = models.DateField(help_text="Its first day.")
    tokens = models.BigIntegerField()
    cost = models.DecimalField(
        max_digits=30, decimal_places=6, help_text="Millionths of a USD; 0 of what had no price."
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["target", "month"], name="month_total_once"),
        ]
        indexes = [
            models.Index(fields=["team", "month", "cost", "target"], name="month_total_by_cost"),
            models.Index(
                fields=["team", "month", "tokens", "target"], name="month_total_by_tokens"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.target} in {self.month:%Y-%m}"


class EndedCheckpoint(models.Model):
    """How large a checkpoint was that is no more, and from when to when it was kept.

    Written by a trigger on the deletion of checkpoints, so that no way of deleting one can forget
    it. With the checkpoints that there still are, these rows tell what was stored at any time.
    """

    team = models.ForeignKey(
        "accounts.Team", on_delete=models.DO_NOTHING, db_constraint=False, related_name="+"
    )
    session_id = models.TextField()
    base_model = models.TextField()
    path = models.TextField(help_text="The `tinker://` address it had.")
    size_bytes = models.BigIntegerField()
    created_at = models.DateTimeField()
    ended_at = models.DateTimeField(
        help_text="When it was deleted or replaced; if it expired before, when it expired."
    )

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(created_at__lte=models.F("ended_at")),
                name="ended_checkpoint_ends_last",
            ),
        ]
        indexes = [models.Index(fields=["team", "ended_at"], name="ended_checkpoint_by_team")]

    def __str__(self) -> str:
        return self.path
