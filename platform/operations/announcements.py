"""What submitters tell the workers of a pool through NOTIFY."""

from __future__ import annotations

from enum import StrEnum


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
