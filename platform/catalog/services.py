"""What the catalog answers and how models get into it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.core.exceptions import ValidationError

from catalog.models import BaseModel
from catalog.sources import BadSource, inspect, is_hub_id
from core.database import connection

_COLUMNS = (
    "id, name, source, tokenizer_id, family, max_context_length, max_lora_rank, pool, "
    "trainable, sampleable, description, created_at, hidden_size"
)


@dataclass(frozen=True, slots=True)
class OfferedModel:
    """A base model that users may choose."""

    id: int
    name: str
    source: str
    tokenizer_id: str
    family: str
    max_context_length: int
    max_lora_rank: int
    pool: str
    trainable: bool
    sampleable: bool
    description: str
    created_at: datetime
    hidden_size: int | None


async def offered_models() -> list[OfferedModel]:
    """Every enabled base model, by name."""
    async with connection() as conn:
        cursor = await conn.execute(
            f"SELECT {_COLUMNS} FROM catalog_basemodel WHERE enabled ORDER BY name"
        )
        return [OfferedModel(*row) for row in await cursor.fetchall()]


async def find_offered(name: str) -> OfferedModel | None:
    """The enabled base model of that name."""
    async with connection() as conn:
        cursor = await conn.execute(
            f"SELECT {_COLUMNS} FROM catalog_basemodel WHERE enabled AND name = %s", (name,)
        )
        row = await cursor.fetchone()
    return OfferedModel(*row) if row else None


def shown_tokenizer_id(name: str, tokenizer_id: str) -> str:
    """What users are told of where a tokenizer comes from: a hub id, never a folder of the server.

    A folder's tokenizer goes by the base model's name: clients look for a folder or a hub
    repository of that name.
    """
    return tokenizer_id if is_hub_id(tokenizer_id) else name


def register(
    *, name: str, source: str, pool: str = "default", description: str = ""
) -> tuple[BaseModel, bool]:
    """Enter a base model, reading its limits from its configuration; returns (model, is new).

    Known models get the new source and its limits; what an administrator has set (pool, enabled,
    description, a smaller context or rank) stays.

    Raises:
        BadSource: the source cannot be served, or the name cannot be used.
    """
    known = BaseModel.objects.filter(name=name).first()
    found = inspect(source)
    if known and known.source == found.source:
        if known.hidden_size is None and found.hidden_size:  # registered before it was kept
            known.hidden_size = found.hidden_size
            known.save(update_fields=["hidden_size"])
        return known, False
    model = known or BaseModel(name=name, pool=pool, description=description)
    model.source = found.source
    model.tokenizer_id = found.tokenizer_id
    model.family = found.family
    model.max_context_length = found.max_context_length
    model.hidden_size = found.hidden_size
    try:
        model.full_clean()
    except ValidationError as error:
        raise BadSource(f"base model {name!r}: {'; '.join(error.messages)}") from error
    model.save()
    return model, known is None
