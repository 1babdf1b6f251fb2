"""The base models that this platform offers."""

from __future__ import annotations

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone

LARGEST_LORA_RANK = 128
_NAME_FORM = r"^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$"
_POOL_FORM = r"^[a-z0-9][a-z0-9_-]*$"


def _price(of_tokens: str) -> models.DecimalField:
    return models.DecimalField(
        max_digits=12,
        decimal_places=6,
        null=True,
        blank=True,
        validators=[MinValueValidator(0)],
        help_text=f"USD for a million tokens {of_tokens}",
    )


class BaseModelQuerySet(models.QuerySet["BaseModel"]):
    """Reads of the catalog."""

    def offered(self) -> BaseModelQuerySet:
        """The models that users may choose."""
        return self.filter(enabled=True)

    def of_pool(self, pool: str) -> BaseModelQuerySet:
        """The models that workers of a pool load."""
        return self.filter(enabled=True, pool=pool)


class BaseModel(models.Model):
    """Frozen weights that runs train adapters for and samplers sample from."""

    name = models.CharField(
        max_length=200,
        unique=True,
        validators=[RegexValidator(_NAME_FORM, "Use letters, digits, . _ - and at most one /")],
        help_text="What users write as base_model",
    )
    source = models.CharField(
        max_length=500, help_text="A folder that every worker of the pool can read, or a hub id"
    )
    tokenizer_id = models.CharField(
        max_length=500, help_text="What clients load the tokenizer from: a folder or a hub id"
    )
    family = models.CharField(max_length=50, help_text="The model_type of its config.json")
    max_context_length = models.PositiveIntegerField(
        validators=[MinValueValidator(1)], help_text="Longest sequence, in tokens"
    )
    hidden_size = models.PositiveIntegerField(
        null=True,
        blank=True,
        editable=False,
        validators=[MinValueValidator(1)],
        help_text="The hidden_size of its config.json: clients choose learning rates by it",
    )
    max_lora_rank = models.PositiveIntegerField(
        default=LARGEST_LORA_RANK,
        validators=[MinValueValidator(1), MaxValueValidator(LARGEST_LORA_RANK)],
    )
    pool = models.CharField(
        max_length=50,
        default="default",
        validators=[RegexValidator(_POOL_FORM, "Use lower-case letters, digits, _ and -")],
        help_text="Workers of this pool hold the model",
    )
    trainable = models.BooleanField(default=True)
    sampleable = models.BooleanField(default=True)
    enabled = models.BooleanField(default=True, help_text="Offered to users and loaded by workers")
    train_price = _price("trained on")
    prefill_price = _price("read: prompts and forward passes")
    sample_price = _price("sampled")
    description = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = BaseModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=Q(name__regex=_NAME_FORM), name="catalog_basemodel_name_form"
            ),
            models.CheckConstraint(
                condition=Q(pool__regex=_POOL_FORM), name="catalog_basemodel_pool_form"
            ),
            models.CheckConstraint(
                condition=Q(max_context_length__gte=1), name="catalog_basemodel_context"
            ),
            models.CheckConstraint(
                condition=Q(max_lora_rank__gte=1, max_lora_rank__lte=LARGEST_LORA_RANK),
                name="catalog_basemodel_rank",
            ),
            models.CheckConstraint(
                condition=~Q(source="") & ~Q(tokenizer_id=""), name="catalog_basemodel_source"
            ),
        ]

    def __str__(self) -> str:
        return self.name
