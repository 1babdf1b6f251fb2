"""Whether the disk takes what is written, and what people are told when it is full.

PostgreSQL, the workers and the logs each fail in their own words then, or only wait. Nothing needs
to be started again: whatever waits goes on as soon as there is room.
"""

from __future__ import annotations

import errno
import logging
import shutil

import psycopg
from django.conf import settings

from core.errors import chain

log = logging.getLogger(__name__)

# with less, PostgreSQL cannot begin the next segment of its log
LEAST_BYTES = 32 * 1024 * 1024
# with less, what is kept only for convenience goes
SCARCE_BYTES = 8 * LEAST_BYTES
_WORDS = "No space left on device"
_noticed = False


def message() -> str:
    """What everybody is told."""
    return f"the disk of {settings.DATA_DIR} is full: make room and try again"


def trouble() -> str | None:
    """The message if the disk is full, else None; a change is logged."""
    global _noticed
    try:
        full = shutil.disk_usage(settings.DATA_DIR).free < LEAST_BYTES
    except OSError:
        return None
    if full != _noticed:
        _noticed = full
        if full:
            log.error("%s", message())
        else:
            log.warning("the disk of %s has room again", settings.DATA_DIR)
    return message() if full else None


def is_scarce() -> bool:
    """Whether the disk is nearly full."""
    try:
        return shutil.disk_usage(settings.DATA_DIR).free < SCARCE_BYTES
    except OSError:
        return False


def explain(error: BaseException) -> str | None:
    """What to say of an error if it is a full disk's, wherever in its causes; else None."""
    for found in chain(error):
        if isinstance(found, OSError) and found.errno in (errno.ENOSPC, errno.EDQUOT):
            return message()
        if isinstance(found, psycopg.errors.DiskFull):
            return trouble() or "the database's disk is full: make room and try again"
        # libraries of other languages have it as text alone
        if _WORDS in str(found):
            return message()
        if isinstance(found, psycopg.OperationalError) and (full := trouble()):
            # it cannot even say so: it has ended, or does not start
            return full
    return None
