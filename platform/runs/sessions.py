"""Sessions as listings and searches show them, and the project they belong to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from accounts import rights
from accounts.actors import Actor
from accounts.rights import Right
from audit import services as audit
from checkpoints.services import LIVE
from core import database
from core.errors import NotFound
from core.ids import DEFAULT_PROJECT
from events import services as events
from events.models import Kind
from runs import listening
from runs.models import Session

MAX_MEMBERS = 10_000
# without a heartbeat for so long, while somebody listened, a session is not known to be running
SILENT_AFTER_S = 120

CLIENT_REASONS = (Session.Reason.SUCCESS, Session.Reason.ERRORED, Session.Reason.INTERRUPTED)
# the wire's words for how a session stands, with the reasons of ours that they cover
Status = Literal["active", "cancelled", "client_finished", "failed"]
STATUSES: dict[Status, tuple[str, ...]] = {
    "active": (),
    "cancelled": (Session.Reason.CANCELLED, Session.Reason.EXPIRED),
    "client_finished": CLIENT_REASONS,
    "failed": (Session.Reason.FAILED,),
}


@dataclass(frozen=True, slots=True)
class SessionMembers:
    """A session with what was made in it."""

    run_ids: list[str]
    sampler_ids: list[str]
    user_metadata: dict[str, str]
    display_name: str


@dataclass(frozen=True, slots=True)
class SessionSummary:
    """A session as a search shows it."""

    id: str
    created_at: datetime
    project_id: str
    display_name: str
    user_metadata: dict[str, str]
    ended: bool
    silent: bool
    end_reason: str | None
    end_detail: str | None
    failed_run_id: str | None
    checkpoints_count: int
    checkpoint_bytes: int


@dataclass(frozen=True, slots=True)
class Search:
    """What to look for; `after` is the last session of the page before."""

    limit: int
    session_id: str | None = None
    display_name: str | None = None
    project_ids: list[str] | None = None
    user_metadata: dict[str, str] = field(default_factory=dict)
    active: bool = True
    ended_reasons: list[str] | None = None
    after: tuple[datetime, str] | None = None


async def list_sessions(*, actor: Actor, limit: int, offset: int) -> list[str]:
    """A page of the ids of the team's sessions, newest first."""
    async with database.connection() as conn:
        rows = await (
            await conn.execute(
                """
                SELECT id FROM runs_session WHERE team_id = %s
                ORDER BY created_at DESC, id DESC LIMIT %s OFFSET %s
                """,
                (actor.team_id, limit, offset),
            )
        ).fetchall()
    return [session_id for (session_id,) in rows]


async def find_session(*, actor: Actor, session_id: str) -> SessionMembers:
    """A session's runs and samplers, at most the first `MAX_MEMBERS` of each.

    Raises:
        NotFound: no such session in the actor's team.
    """
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(SessionMembers)) as cursor,
    ):
        await cursor.execute(
            """
            SELECT ARRAY(SELECT r.id FROM runs_trainingrun r WHERE r.session_id = s.id
                         ORDER BY r.number LIMIT %(limit)s) AS run_ids,
                   ARRAY(SELECT p.id FROM runs_sampler p WHERE p.session_id = s.id
                         ORDER BY p.number LIMIT %(limit)s) AS sampler_ids,
                   s.user_metadata, s.display_name
            FROM runs_session s WHERE s.id = %(id)s AND s.team_id = %(team)s
            """,
            {"id": session_id, "team": actor.team_id, "limit": MAX_MEMBERS},
        )
        found = await cursor.fetchone()
    if found is None:
        raise NotFound(f"there is no session {session_id}")
    return found


_ASSIGN_PROJECT = """
WITH before AS (
    SELECT id, project_id FROM runs_session WHERE id = %s AND team_id = %s FOR UPDATE
)
UPDATE runs_session s SET project_id = %s FROM before WHERE s.id = before.id
RETURNING before.project_id
"""


async def assign_project(*, actor: Actor, session_id: str, project_id: str) -> None:
    """Move a session, with all that is in it, to a project. Doing so twice is fine.

    Raises:
        Forbidden: the actor's role does not suffice.
        NotFound: no such session in the actor's team.
    """
    rights.require(actor, Right.ASSIGN_PROJECT)
    async with events.transaction() as conn:
        row = await (
            await conn.execute(_ASSIGN_PROJECT, (session_id, actor.team_id, project_id))
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no session {session_id}")
        before = row[0] or DEFAULT_PROJECT
        if before != project_id:
            await audit.record(
                conn,
                actor,
                "project.session_assigned",
                session_id,
                project_id=project_id,
                before=before,
            )
            told = events.event(
                Kind.SESSION_MOVED, session_id, team_id=actor.team_id, project_id=project_id
            )
            await events.write(conn, told)


_SEARCH = f"""
SELECT s.id, s.created_at, coalesce(s.project_id, %(default)s) AS project_id, s.display_name,
       s.user_metadata, s.ended_at IS NOT NULL AS ended,
       s.heard_at_s < {listening.NOW} - %(silent)s AS silent,
       s.end_reason, s.end_detail, s.failed_run_id,
       saved.number AS checkpoints_count, saved.bytes AS checkpoint_bytes
FROM (
    SELECT * FROM runs_session s
    WHERE s.team_id = %(team)s
      AND (%(id)s::text IS NULL AND %(words)s::text[] IS NULL
           OR s.id = %(id)s
           OR NOT EXISTS (SELECT FROM unnest(%(words)s::text[]) AS word
                          WHERE strpos(lower(s.display_name), word) = 0)
              AND %(words)s::text[] IS NOT NULL)
      AND (%(projects)s::text[] IS NULL
           OR coalesce(s.project_id, %(default)s) = ANY(%(projects)s))
      AND s.user_metadata @> %(metadata)s
      AND (s.ended_at IS NULL AND %(active)s
           AND (%(reasons)s::text[] IS NULL
                OR s.heard_at_s >= {listening.NOW} - %(silent)s)
           OR s.ended_at IS NOT NULL AND (%(reasons)s::text[] IS NULL
                                          OR s.end_reason = ANY(%(reasons)s)))
      AND (%(after_id)s::text IS NULL
           OR (s.created_at, s.id) < (%(after_time)s::timestamptz, %(after_id)s))
    ORDER BY s.created_at DESC, s.id DESC LIMIT %(limit)s
) s
LEFT JOIN LATERAL (
    SELECT count(*) AS number, coalesce(sum(c.size_bytes), 0)::bigint AS bytes
    FROM runs_trainingrun r JOIN checkpoints_checkpoint c ON c.run_id = r.id
    WHERE r.session_id = s.id AND {LIVE}
) saved ON true
ORDER BY s.created_at DESC, s.id DESC
"""


async def search(*, actor: Actor, wanted: Search) -> tuple[list[SessionSummary], bool]:
    """A page of the team's sessions, newest first, and whether there are more.

    A session matches the id or the display name (all words in it), and everything else asked for.
    """
    words = None if wanted.display_name is None else wanted.display_name.lower().split()
    after_time, after_id = wanted.after or (None, None)
    async with (
        database.connection() as conn,
        conn.cursor(row_factory=class_row(SessionSummary)) as cursor,
    ):
        await cursor.execute(
            _SEARCH,
            {
                "team": actor.team_id,
                "default": DEFAULT_PROJECT,
                "silent": SILENT_AFTER_S,
                "id": wanted.session_id,
                "words": words,
                "projects": wanted.project_ids,
                "metadata": Jsonb(wanted.user_metadata),
                "active": wanted.active,
                "reasons": wanted.ended_reasons,
                "after_time": after_time,
                "after_id": after_id,
                "limit": wanted.limit + 1,
            },
        )
        found = await cursor.fetchall()
    return found[: wanted.limit], len(found) > wanted.limit
