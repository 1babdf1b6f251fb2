"""Django admin for the catalog. A new model needs a name and a source; the rest is read from it."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin

from catalog.models import BaseModel
from catalog.sources import BadSource, inspect


class BaseModelForm(forms.ModelForm):
    """Fills what is left empty from the model's own config.json."""

    class Meta:
        model = BaseModel
        fields = [
            "name",
            "source",
            "description",
            "enabled",
            "trainable",
            "sampleable",
            "pool",
            "max_context_length",
            "max_lora_rank",
            "tokenizer_id",
            "family",
            "train_price",
            "prefill_price",
            "sample_price",
        ]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name in ("tokenizer_id", "family", "max_context_length"):
            self.fields[name].required = False
            self.fields[name].help_text += " (left empty: read from the source)"

    def clean(self) -> dict[str, Any]:
        """Read the source when it is new; refuse a context longer than the model's own."""
        data: dict[str, Any] = super().clean() or self.cleaned_data
        source = data.get("source")
        if not source or not (self.instance.pk is None or "source" in self.changed_data):
            return data
        try:
            found = inspect(source)
        except BadSource as error:
            self.add_error("source", str(error))
            return data
        data["source"] = found.source
        data["family"] = found.family
        self.instance.hidden_size = found.hidden_size
        data["tokenizer_id"] = data.get("tokenizer_id") or found.tokenizer_id
        wanted = data.get("max_context_length") or found.max_context_length
        if wanted > found.max_context_length:
            self.add_error("max_context_length", f"The model's limit is {found.max_context_length}")
        data["max_context_length"] = wanted
        return data


@admin.register(BaseModel)
class BaseModelAdmin(admin.ModelAdmin):
    """Base models on offer. Workers load what is enabled in their pool when they start."""

    form = BaseModelForm
    list_display = ["name", "enabled", "trainable", "sampleable", "pool", "max_context_length"]
    list_filter = ["enabled", "pool"]
    search_fields = ["name", "description"]
