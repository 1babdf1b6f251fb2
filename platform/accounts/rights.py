"""What each role may do: the one table of rights, and of the least role that each of them takes.

A service that changes something of a team's asks once, with `require`, before it does anything
else. Reading asks nothing: whoever is in a team, with whatever role, reads all that is the team's.
The role comes with the `Actor`, so asking costs no query. Views and sockets may look with `may` at
what to offer; what counts is what the service answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from accounts.actors import Actor, Forbidden
from accounts.models import Role


class Right(StrEnum):
    """One thing that is done with a team's things, in the words of its refusal."""

    # reading, but it is noted in the audit log
    DOWNLOAD_CHECKPOINT = "download a checkpoint"
    # a key that has got into wrong hands is to be ended by whoever notices
    REVOKE_OWN_API_KEY = "revoke an API key of one's own"
    SAY_WHAT_IS_SEEN = "say what one has seen"

    OPEN_SESSION = "open a session"
    KEEP_SESSION = "keep a session alive"
    FINISH_SESSION = "finish a session"
    ASSIGN_PROJECT = "move a session to a project"
    CREATE_RUN = "make a training run"
    SUBMIT_OPERATION = "have something done to a training run"
    WITHDRAW_REQUEST = "give up a request to a training run"
    RECORD_METRICS = "record metrics"
    RECORD_ROLLOUTS = "record rollouts"
    CREATE_SAMPLER = "make a sampler"
    JOIN_SAMPLER = "join a sampler"
    SAMPLE = "sample"
    CANCEL_SAMPLE = "cancel a sample"
    FORGET_RESULTS = "give up the results of samples"
    COPY_CHECKPOINT = "copy a checkpoint"
    EXPIRE_CHECKPOINT = "say when a checkpoint expires"
    PUBLISH_CHECKPOINT = "publish a checkpoint"
    DELETE_CHECKPOINT = "delete a checkpoint"
    RESTORE_CHECKPOINT = "bring a deleted checkpoint back"
    CREATE_OWN_API_KEY = "make an API key of one's own"

    CREATE_API_KEY = "make an API key of the team's"
    CHANGE_API_KEY = "give an API key another role"
    REVOKE_API_KEY = "revoke an API key"
    MANAGE_MEMBERS = "add, change or remove members and viewers"

    MANAGE_ADMINS = "add, change or remove admins and owners"


# Whatever API keys did before there were roles takes no more than MEMBER, which is what they became
LEAST: Mapping[Right, Role] = {
    Right.DOWNLOAD_CHECKPOINT: Role.VIEWER,
    Right.REVOKE_OWN_API_KEY: Role.VIEWER,
    Right.SAY_WHAT_IS_SEEN: Role.VIEWER,
    Right.OPEN_SESSION: Role.MEMBER,
    Right.KEEP_SESSION: Role.MEMBER,
    Right.FINISH_SESSION: Role.MEMBER,
    Right.ASSIGN_PROJECT: Role.MEMBER,
    Right.CREATE_RUN: Role.MEMBER,
    Right.SUBMIT_OPERATION: Role.MEMBER,
    Right.WITHDRAW_REQUEST: Role.MEMBER,
    Right.RECORD_METRICS: Role.MEMBER,
    Right.RECORD_ROLLOUTS: Role.MEMBER,
    Right.CREATE_SAMPLER: Role.MEMBER,
    Right.JOIN_SAMPLER: Role.MEMBER,
    Right.SAMPLE: Role.MEMBER,
    Right.CANCEL_SAMPLE: Role.MEMBER,
    Right.FORGET_RESULTS: Role.MEMBER,
    Right.COPY_CHECKPOINT: Role.MEMBER,
    Right.EXPIRE_CHECKPOINT: Role.MEMBER,
    Right.PUBLISH_CHECKPOINT: Role.MEMBER,
    Right.DELETE_CHECKPOINT: Role.MEMBER,
    Right.RESTORE_CHECKPOINT: Role.MEMBER,
    Right.CREATE_OWN_API_KEY: Role.MEMBER,
    Right.CREATE_API_KEY: Role.ADMIN,
    Right.CHANGE_API_KEY: Role.ADMIN,
    Right.REVOKE_API_KEY: Role.ADMIN,
    Right.MANAGE_MEMBERS: Role.ADMIN,
    Right.MANAGE_ADMINS: Role.OWNER,
}


def may(actor: Actor, right: Right) -> bool:
    """Whether the actor's role suffices; a key's scopes are another matter."""
    return actor.role.covers(LEAST[right])


def require(actor: Actor, right: Right) -> None:
    """Refuse an actor whose role does not suffice.

    Raises:
        Forbidden: names the role that it takes, and the actor's own.
    """
    least = LEAST[right]
    if not actor.role.covers(least):
        higher = "" if least is Role.OWNER else ", or a higher one,"
        whose = "this API key's is" if actor.key_id is not None else "yours is"
        raise Forbidden(f"it takes the role {least}{higher} to {right}; {whose} {actor.role}")
