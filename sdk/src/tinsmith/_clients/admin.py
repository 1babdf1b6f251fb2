"""``AdminClient``: what a team used, and who did what."""

from __future__ import annotations

from datetime import date, datetime, timezone

from tinsmith._clients.rest_base import Rest, address
from tinsmith._session.futures import APIFuture
from tinsmith._words.mistakes import explained
from tinsmith.types.usage import (
    AuditEventType,
    AuditLogResponse,
    BillingUsageResponse,
    CurrentCheckpointStorageUsageResponse,
)


@explained
class AdminClient(Rest):
    """Reads a team's audit log, usage and storage.

    >>> admin = AdminClient()
    >>> "checkpoint_published" in {entry.event for entry in admin.get_audit_log().result().entries}
    True
    """

    def get_audit_log(
        self, event_type: AuditEventType = "all", day: date | None = None
    ) -> APIFuture[AuditLogResponse]:
        """What was done in the team on a day, newest first.

        Args:
            event_type: ``all``, ``checkpoints``, ``projects``, ``teams`` or ``organizations``.
            day: which day (UTC); default today.

        Returns:
            A future of the entries.
        """
        wanted = None if day is None else day.isoformat()
        path = address("audit", event_type=event_type, day=wanted)
        return self._ask("GET", path, AuditLogResponse)

    async def get_audit_log_async(
        self, event_type: AuditEventType = "all", day: date | None = None
    ) -> AuditLogResponse:
        """`get_audit_log`, waited for."""
        return await self.get_audit_log(event_type, day)

    def get_billing_usage(
        self, starting_on: datetime | str, ending_before: datetime | str
    ) -> APIFuture[BillingUsageResponse]:
        """What was used between two times, by hour, model, session and kind.

        Storage is listed by hour, model and project: checkpoints outlive their sessions.

        Args:
            starting_on: a full hour: a datetime (UTC where it names no zone), or its RFC 3339
                text.
            ending_before: likewise; not included.

        Returns:
            A future of events: tokens trained, read and drawn, checkpoints saved and kept.

        >>> now = datetime.now(timezone.utc).replace(minute=0, second=0, microsecond=0)
        >>> usage = AdminClient().get_billing_usage(now, now + timedelta(hours=1)).result()
        >>> "training" in {event.event_info.type for event in usage.data}
        True
        """
        path = address(
            "billing/usage/events",
            starting_on=_moment(starting_on),
            ending_before=_moment(ending_before),
        )
        return self._ask("GET", path, BillingUsageResponse)

    async def get_billing_usage_async(
        self, starting_on: datetime | str, ending_before: datetime | str
    ) -> BillingUsageResponse:
        """`get_billing_usage`, waited for."""
        return await self.get_billing_usage(starting_on, ending_before)

    def get_current_checkpoint_storage_usage(
        self, project_id: str | None = None
    ) -> APIFuture[CurrentCheckpointStorageUsageResponse]:
        """How many checkpoints are kept now, and how large they are.

        Args:
            project_id: of this project alone.
        """
        path = address("billing/usage/checkpoints/current", project_id=project_id)
        return self._ask("GET", path, CurrentCheckpointStorageUsageResponse)

    async def get_current_checkpoint_storage_usage_async(
        self, project_id: str | None = None
    ) -> CurrentCheckpointStorageUsageResponse:
        """`get_current_checkpoint_storage_usage`, waited for."""
        return await self.get_current_checkpoint_storage_usage(project_id)


def _moment(when: datetime | str) -> str:
    """RFC 3339; raises ValueError for a text that is no time."""
    if isinstance(when, str):
        when = datetime.fromisoformat(when.replace("Z", "+00:00"))
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return when.isoformat()
