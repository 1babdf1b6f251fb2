"""What workers note of the work that passes through them: a row a step, a row a datum.

The numbers are sums and means over what the engine really did; no program has to send any. What is
larger, tokens and logprobs, lies in the store (`captures.blocks`) and is named from here.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now


class StepStat(models.Model):
    """One optimizer step with the passes behind it.

    `step` counts a run's optimizer steps from 0. Means are over the tokens, pairs or datums of all
    its passes; what a loss does not have is null. `captures.curves` says what each is called on
    pages, and in which unit.
    """

    run = models.ForeignKey("runs.TrainingRun", on_delete=models.CASCADE, related_name="+")
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="+")
    step = models.BigIntegerField()
    first_seq = models.BigIntegerField(help_text="Of its first pass; of the step if it has none.")
    last_seq = models.BigIntegerField(help_text="Of the optimizer step.")
    time = models.DateTimeField(db_default=Now())
    loss_fn = models.TextField(help_text="Names of its losses, by commas.")
    passes = models.IntegerField()
    datums = models.IntegerField()
    tokens = models.BigIntegerField()
    trained_tokens = models.BigIntegerField()
    loss_sum = models.FloatField(null=True, blank=True)
    learning_rate = models.FloatField(null=True, blank=True)
    grad_norm = models.FloatField(null=True, blank=True, help_text="Before clipping.")
    seconds = models.FloatField(null=True, blank=True, help_text="Since the step before it.")
    sampled_tokens = models.BigIntegerField(null=True, blank=True)
    kl_v1 = models.FloatField(null=True, blank=True)
    kl_v2 = models.FloatField(null=True, blank=True)
    entropy = models.FloatField(null=True, blank=True)
    ratio_p50 = models.FloatField(null=True, blank=True)
    ratio_p99 = models.FloatField(null=True, blank=True)
    clipped_share = models.FloatField(null=True, blank=True)
    constant_share = models.FloatField(
        null=True, blank=True, help_text="Of datums, those whose advantages are all 0."
    )
    length_mean = models.FloatField(null=True, blank=True, help_text="Sampled tokens a datum.")
    length_max = models.FloatField(null=True, blank=True)
    groups = models.IntegerField(null=True, blank=True, help_text="Different prompts.")
    mixed_share = models.FloatField(
        null=True, blank=True, help_text="Of groups of several, those whose advantages differ."
    )
    pairs = models.BigIntegerField(null=True, blank=True)
    pair_loss = models.FloatField(null=True, blank=True)
    accuracy = models.FloatField(null=True, blank=True)
    margin = models.FloatField(null=True, blank=True)
    chosen = models.FloatField(null=True, blank=True)
    rejected = models.FloatField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["run", "step"], name="step_stat_unique"),
            models.CheckConstraint(condition=Q(step__gte=0), name="step_stat_from_zero"),
        ]

    def __str__(self) -> str:
        return f"step {self.step} of {self.run_id}"


class DatumStat(models.Model):
    """One datum of a pass with gradients: an example that was shown, or a rollout learnt from.

    A mean is over its trained tokens: those with a weight; of a policy's loss those that were
    sampled. `hash` names its tokens, targets and which of them are trained, `prompt_hash` what
    stands before the first of these: equal numbers, equal contents.
    """

    id = models.BigAutoField(primary_key=True)
    run = models.ForeignKey("runs.TrainingRun", on_delete=models.CASCADE, related_name="+")
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="+")
    step = models.BigIntegerField(help_text="The optimizer step whose gradient it is part of.")
    seq = models.BigIntegerField(help_text="Of its pass.")
    place = models.IntegerField(help_text="In its pass, from 0.")
    loss_fn = models.TextField()
    tokens = models.IntegerField()
    trained_tokens = models.IntegerField()
    loss = models.FloatField(help_text="Its part of the pass's sum.")
    logprob = models.FloatField(null=True, blank=True, help_text="Mean under the run's weights.")
    sampled_logprob = models.FloatField(
        null=True, blank=True, help_text="Mean of `logprobs`: under the sampler, or the reference."
    )
    advantage = models.FloatField(null=True, blank=True, help_text="Mean over what was sampled.")
    hash = models.BigIntegerField()
    prompt_hash = models.BigIntegerField()
    block = models.TextField(null=True, blank=True, help_text="Its file in the store, if kept.")
    offset = models.BigIntegerField(null=True, blank=True)
    length = models.IntegerField(null=True, blank=True)
    part = models.IntegerField(null=True, blank=True, help_text="Its place in the block.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["run", "step", "seq", "place"], name="datum_stat_unique"
            ),
            models.CheckConstraint(
                condition=Q(block=None, offset=None, length=None, part=None)
                | Q(
                    block__isnull=False,
                    offset__isnull=False,
                    length__isnull=False,
                    part__isnull=False,
                ),
                name="datum_stat_block_is_whole",
            ),
        ]
        indexes = [
            models.Index(fields=["run", "hash", "step"], name="datum_stat_by_hash"),
        ]

    def __str__(self) -> str:
        return f"datum {self.seq}/{self.place} of {self.run_id}"


class KeptTokens(models.Model):
    """How many bytes of blocks are kept of a step of a run: one file in the store."""

    run = models.ForeignKey("runs.TrainingRun", on_delete=models.CASCADE, related_name="+")
    team = models.ForeignKey("accounts.Team", on_delete=models.PROTECT, related_name="+")
    step = models.BigIntegerField()
    key = models.TextField(unique=True)
    size_bytes = models.BigIntegerField()
    time = models.DateTimeField(db_default=Now())

    class Meta:
        verbose_name = verbose_name_plural = "kept tokens"
        constraints = [
            models.UniqueConstraint(fields=["run", "step"], name="kept_tokens_unique"),
        ]
        indexes = [models.Index(fields=["team", "time"], name="kept_tokens_by_team")]

    def __str__(self) -> str:
        return f"blocks of step {self.step} of {self.run_id}"
