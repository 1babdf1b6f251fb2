"""What the log announces through NOTIFY: to the workers of a pool, and to those who wait."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum

from core.hub import Topic

# to workers, who listen on connections of their own
WORK_CHANNEL = "tinsmith_work"
# request ids that nobody waits for any more, with commas between
CANCEL_CHANNEL = "tinsmith_cancel"


def _finished(payload: str) -> Iterator[tuple[str, str]]:
    """Request ids; who waits for any request of a sampler waits for the sampler's id."""
    request_ids = payload.split(",")
    for request_id in request_ids:
        yield request_id, ""
    for target in {request_id.rpartition(":")[0] for request_id in request_ids}:
        yield target, ""


def _sampled(payload: str) -> Iterator[tuple[str, str]]:
    """A request id, a space, tokens sampled for it (`partial.py`)."""
    request_id, _, tokens = payload.partition(" ")
    yield request_id, tokens


DONE = Topic("tinsmith_done", _finished)
TOKENS = Topic("tinsmith_tokens", _sampled)


class Announcement(StrEnum):
    """`work`: operations on runs and samplers that exist. `change`: new runs, ended sessions."""

    WORK = "work"
    CHANGE = "change"

    def payload(self, pool: str) -> str:
        """The notification's text."""
        return f"{pool} {self}"

    @staticmethod
    def parse(payload: str) -> tuple[str, Announcement]:
        """(pool, announcement) of a notification's text."""
        pool, _, kind = payload.partition(" ")
        return pool, Announcement(kind)
