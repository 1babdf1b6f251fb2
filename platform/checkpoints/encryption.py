"""Checkpoints that only the holders of age keys can read: for whom they may be encrypted.

The files are encrypted while they are written (`gpu_workers/engine/lora/sealed.py`); the server
keeps no key that opens them. What it can still do with such a checkpoint is hand it out, copy,
publish and delete it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyrage

from core.errors import BadRequest

if TYPE_CHECKING:
    from checkpoints.services import CheckpointInfo

FIELD = "age_encryption_recipients"
MOST_RECIPIENTS = 10
# what a file's name has on top
SUFFIX = ".age"
Recipient = pyrage.x25519.Recipient | pyrage.ssh.Recipient

_PARSERS: dict[str, Callable[[str], Recipient]] = {
    "age1": pyrage.x25519.Recipient.from_str,
    "ssh-ed25519 ": pyrage.ssh.Recipient.from_str,
    "ssh-rsa ": pyrage.ssh.Recipient.from_str,
}
_ALLOWED = "allowed: age1… (X25519), ssh-ed25519 … and ssh-rsa … public keys"


def parse_recipients(given: object) -> list[Recipient]:
    """The keys to encrypt for, 1 to `MOST_RECIPIENTS`, from what a request has in `FIELD`.

    Raises:
        BadRequest: it is no list of so many texts, or one of them is no public key. The message
            names its place; it never repeats what may be a secret.
    """
    if not isinstance(given, list) or not 1 <= len(given) <= MOST_RECIPIENTS:
        count = f", not {len(given)}" if isinstance(given, list) else ""
        raise BadRequest(
            f"{FIELD} must be a list of 1 to {MOST_RECIPIENTS} public keys{count}; leave it out to "
            "save files that are not encrypted"
        )
    return [_parse(place, text) for place, text in enumerate(given)]


def _parse(place: int, text: object) -> Recipient:
    what = f"{FIELD}[{place}]"
    if not isinstance(text, str):
        raise BadRequest(f"{what} is no text; {_ALLOWED}")
    if text.upper().startswith("AGE-SECRET-KEY-") or "PRIVATE KEY" in text:
        raise BadRequest(f"{what} is a secret key: keep it to yourself and give its public key")
    for prefix, parser in _PARSERS.items():
        if text.startswith(prefix):
            try:
                return parser(text)
            except pyrage.RecipientError as error:
                raise BadRequest(
                    f"{what}, {text[:16]!r}…, is no key: {error}; {_ALLOWED}"
                ) from None
    raise BadRequest(f"{what} is no public key of age or SSH; {_ALLOWED}")


def require_plain(found: CheckpointInfo) -> None:
    """Refuse to compute with weights that the server cannot read.

    Raises:
        BadRequest: they are encrypted.
    """
    if found.encrypted:
        raise BadRequest(
            f"{found.path} is encrypted with age, so this server can neither load nor sample it; "
            "use a checkpoint of the run's that save_weights or save_weights_for_sampler made"
        )
