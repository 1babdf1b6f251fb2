"""Teams, runs, samplers and operations written straight into the tables."""

from __future__ import annotations

import uuid
from typing import Any

import psycopg
from django.db import transaction

from accounts.actors import Actor
from accounts.models import Role, Team
from catalog.models import BaseModel
from operations import claims, workers
from operations.models import Lane, Operation, Payload
from operations.services import JSON, PROTOBUF
from runs.models import Sampler, Session, TrainingRun


class Log:
    """Writes operations as submitters do and reads what became of them."""

    def __init__(self, conn: psycopg.Connection, base_model: BaseModel) -> None:
        self.conn = conn
        self.base_model = base_model
        self.pool = base_model.pool

    def team(self, name: str) -> Team:
        """A new team."""
        return Team.objects.create(name=name, slug=name)

    def actor(self, team: Team) -> Actor:
        """Somebody who acts for the team."""
        return Actor(team_id=team.id, team_name=team.name, role=Role.MEMBER)

    def session(self, team: Team) -> Session:
        """A new session of the team."""
        return Session.objects.create(id=str(uuid.uuid4()), team=team)

    def run(
        self, team: Team, number: int = 0, session: Session | None = None, **spec: Any
    ) -> TrainingRun:
        """A new run, in a session of its own unless one is given; operation 0 is not in the log."""
        session = session or self.session(team)
        run = TrainingRun.objects.create(
            id=f"{session.id}:train:{number}",
            session=session,
            team=team,
            number=number,
            base_model=self.base_model,
            **{"rank": 8, "seed": 1, **spec},
        )
        self._open_lane(run, ordered=True)
        return run

    def sampler(self, team: Team, number: int = 0) -> Sampler:
        """A new sampler of the base model."""
        session = self.session(team)
        sampler = Sampler.objects.create(
            id=f"{session.id}:sample:{number}",
            session=session,
            team=team,
            number=number,
            base_model=self.base_model,
        )
        self._open_lane(sampler, ordered=False)
        return sampler

    def _open_lane(self, target: TrainingRun | Sampler, *, ordered: bool) -> None:
        Lane.objects.create(
            target=target.id,
            session_id=target.session_id,
            team=target.team,
            base_model=self.base_model,
            ordered=ordered,
        )

    def append(self, target: TrainingRun | Sampler, *seqs: int, cost: int = 4) -> None:
        """Operations in the given order of arrival, with bodies that nobody reads."""
        kind = "sample" if isinstance(target, Sampler) else "optim_step"
        for seq in seqs:
            self.submit(target, seq, kind, b"{}" * (cost // 2))

    def submit(self, target: TrainingRun | Sampler, seq: int, kind: str, body: bytes) -> Operation:
        """One operation with its body."""
        with transaction.atomic():
            operation = Operation.objects.create(
                target=target.id,
                seq=seq,
                team=target.team,
                pool=self.pool,
                kind=kind,
                cost=len(body),
            )
            content_type = PROTOBUF if kind == "forward_backward" else JSON
            Payload.objects.create(operation=operation, content_type=content_type, body=body)
        return operation

    def worker(self) -> uuid.UUID:
        """A worker that is alive."""
        worker_id = uuid.uuid4()
        workers.register(
            self.conn,
            worker_id=worker_id,
            pool=self.pool,
            host="here",
            pid=1,
            models=[self.base_model.name],
        )
        return worker_id

    def die(self, worker_id: uuid.UUID) -> None:
        """Let a worker's lease run out."""
        workers.retire(self.conn, worker_id=worker_id)

    def claim(
        self, worker_id: uuid.UUID, limit: int = 1000, max_bytes: int = 10**9
    ) -> list[claims.Claimed]:
        """Adopt and claim as a drain does."""
        claims.adopt(self.conn, worker_id=worker_id, pool=self.pool, limit=1000)
        return claims.claim(
            self.conn, worker_id=worker_id, pool=self.pool, limit=limit, max_bytes=max_bytes
        )

    def claim_suspects(self, worker_id: uuid.UUID) -> list[claims.Claimed]:
        """Claim as a drain does that has nothing in hand: one group, or nothing."""
        found = (
            claims.claim(
                self.conn,
                worker_id=worker_id,
                pool=self.pool,
                limit=1000,
                max_bytes=10**9,
                group=group,
            )
            for group in claims.GROUPS
        )
        return next(filter(None, found), [])
