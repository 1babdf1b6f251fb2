"""What users attach to sessions, runs and checkpoints: names with texts."""

from __future__ import annotations

from typing import Any

import msgspec

from core.errors import BadRequest

MAX_BYTES = 64 * 1024


def as_text(metadata: dict[str, Any]) -> dict[str, str]:
    """Metadata with every value as text: public clients fail on listings with anything else.

    Raises:
        BadRequest: more than `MAX_BYTES`, which every listing would have to carry.
    """
    texts = {
        key: value if isinstance(value, str) else msgspec.json.encode(value).decode()
        for key, value in metadata.items()
    }
    size = sum(len(key) + len(value) for key, value in texts.items())
    if size > MAX_BYTES:
        raise BadRequest(f"user_metadata has {size} characters, allowed are {MAX_BYTES}")
    return texts
