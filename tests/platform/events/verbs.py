"""Everything that can be done to what a team's pages show, chosen at random."""

from __future__ import annotations

import random
import uuid
from typing import Any

from asgiref.sync import sync_to_async
from psycopg import Connection

from accounts import keys
from accounts import services as accounts
from accounts.actors import Actor
from accounts.models import ApiKey, Membership, Role, Team, User
from captures import services as captures
from catalog.models import BaseModel
from checkpoints import changes, expiry, store, undo
from checkpoints import services as checkpoints
from checkpoints.models import Checkpoint, Deleted
from core import ids
from core.errors import ApiError
from runs import copies, ephemeral, lifecycle, parents, recordings, samplers, services, sessions
from runs.models import Session, TrainingRun
from tests.support.by_worker import by_worker


class Nothing(Exception):
    """There is nothing yet that this could be done to."""


# what others need something to be done to
OFTEN = {"begin_session": 5, "create_run": 7, "save": 7, "delete": 2, "log_metrics": 3}


class Verbs:
    """Does things for a team, each in its own transaction as programs and workers do."""

    def __init__(self, team: Team, base_model: BaseModel, seed: int) -> None:
        self.team = team
        self.actor = Actor(team.pk, team.name, role=Role.MEMBER)
        self._base_model = base_model.name
        self._random = random.Random(seed)
        self._numbers = 0

    async def do(self, verb: str) -> bool:
        """Do something; False when there is nothing to do it to, or the platform refuses it."""
        try:
            await getattr(self, verb)()
        except (ApiError, Nothing, ValueError):
            return False
        return True

    def choose(self, number: int) -> list[str]:
        """Names of verbs, at random."""
        weights = [OFTEN.get(name, 1) for name in NAMES]
        return self._random.choices(NAMES, weights, k=number)

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    async def _one(self, rows: Any) -> Any:
        found = [row async for row in rows]
        if not found:
            raise Nothing
        return self._random.choice(found)

    async def _session(self) -> Session:
        rows = Session.objects.filter(team=self.team)
        found: Session = await self._one(rows.open() if self._random.random() < 0.8 else rows)
        return found

    async def _run(self) -> TrainingRun:
        found: TrainingRun = await self._one(TrainingRun.objects.filter(team=self.team))
        return found

    async def _address(self) -> ids.CheckpointPath:
        found = await self._one(Checkpoint.objects.filter(team=self.team))
        return ids.CheckpointPath(found.run_id, found.segment, found.name)

    # --- sessions, runs, samplers -----------------------------------------------------------

    async def begin_session(self) -> None:
        await services.create_session(
            actor=self.actor,
            tags=[],
            user_metadata={},
            sdk_version="",
            display_name=self._random.choice([None, "named"]),
            project_id=self._random.choice([None, "night"]),
        )

    async def move_session(self) -> None:
        project = self._random.choice(["day", "night"])
        session = await self._session()
        await sessions.assign_project(actor=self.actor, session_id=session.id, project_id=project)

    async def end_session(self) -> None:
        session = await self._session()
        detail = self._random.choice([None, "done"])
        await services.finish_session(
            actor=self.actor, session_id=session.id, reason="success", detail=detail
        )

    async def fall_silent(self) -> None:
        await Session.objects.filter(id=(await self._session()).id).aupdate(heard_at_s=-1000)
        await by_worker(lifecycle.expire_sessions)

    async def fail_session(self) -> None:
        run = await self._run()
        await by_worker(lambda conn: lifecycle.fail_session(conn, run_id=run.id, why="lost"))

    async def create_run(self) -> None:
        request = services.CreateRunRequest(
            session_id=(await self._session()).id,
            number=self._random.randrange(4),
            base_model=self._base_model,
            rank=8,
        )
        await services.create_run(actor=self.actor, body=b"{}", request=request)

    async def load(self) -> None:
        run, source = await self._run(), str(await self._address())
        number, optimizer = self._next(), self._random.random() < 0.5

        def note(conn: Connection) -> None:
            with conn.transaction():
                parents.note(
                    conn,
                    run_id=run.id,
                    seq=number,
                    how=parents.How.LOADED,
                    source=source,
                    optimizer=optimizer,
                )

        await by_worker(note)

    async def create_sampler(self) -> None:
        session = await self._session()
        path = str(await self._address()) if self._random.random() < 0.5 else None
        await samplers.create_sampler(
            actor=self.actor,
            session_id=session.id,
            number=self._random.randrange(4),
            model_path=path,
            base_model=None if path else self._base_model,
        )

    async def save_for_sampler(self) -> None:
        run, number = await self._run(), self._random.randrange(4, 8)

        def make(conn: Connection) -> None:
            with conn.transaction():
                ephemeral.make_ephemeral(
                    conn,
                    sampler_id=ids.sampler_id(run.session_id, number),
                    run_id=run.id,
                    number=number,
                    key="here",
                    seq=None,
                )

        await by_worker(make)

    # --- recordings -------------------------------------------------------------------------

    async def log_metrics(self) -> None:
        run = await self._run()
        values = [
            recordings.MetricValue(
                self._random.choice("abc"), self._random.randrange(5), self._random.random()
            )
            for _ in range(self._random.randrange(5))
        ]
        await recordings.record_metrics(actor=self.actor, run_id=run.id, values=values)

    async def log_many_metrics(self) -> None:
        run, step = await self._run(), self._random.randrange(5)
        values = [recordings.MetricValue(f"k{n}", step, self._random.random()) for n in range(60)]
        await recordings.record_metrics(actor=self.actor, run_id=run.id, values=values)

    async def log_rollouts(self) -> None:
        run, step = await self._run(), self._random.randrange(5)
        values = [
            recordings.RolloutValue(
                step, 0, n, "p", "c", None, None, [], self._random.random(), {}, [], {}
            )
            for n in range(3)
        ]
        await recordings.record_rollouts(actor=self.actor, run_id=run.id, values=values)

    async def capture(self) -> None:
        run, step, seq = await self._run(), self._random.randrange(5), self._random.randrange(8)
        loss = self._random.random()
        steps = [captures.Step(run.id, step, seq, seq, "ppo", 1, 2, 8, 4, loss_sum=loss)]
        datums = [
            captures.Datum(run.id, step, seq, place, "ppo", 4, 2, loss, -1.0, -1.0, 0.5, 7, 7)
            for place in range(2)
        ]
        await by_worker(lambda conn: captures.write(conn, steps=steps, datums=datums))

    async def drop_captured(self) -> None:
        run, step, seq = await self._run(), self._random.randrange(5), self._random.randrange(9)
        gone = [captures.Dropped(run.id, step, seq)]
        await by_worker(lambda conn: captures.write(conn, steps=[], datums=[], dropped=gone))

    # --- checkpoints ------------------------------------------------------------------------

    async def save(self) -> None:
        run, name = await self._run(), self._random.choice(["one", "two"])
        key = store.checkpoint_key(run.id, "weights", name, self._next())
        store.path(key).mkdir(parents=True)
        (store.path(key) / "adapter_config.json").write_text("{}")
        ttl = self._random.choice([None, 7200])
        size, overwrite = self._random.randrange(100), self._random.random() < 0.7

        def enter(conn: Connection) -> None:
            with conn.transaction():
                checkpoints.record(
                    conn,
                    run_id=run.id,
                    segment="weights",
                    name=name,
                    key=key,
                    size_bytes=size,
                    user_metadata={},
                    ttl_seconds=ttl,
                    overwrite=overwrite,
                )

        await by_worker(enter)

    async def copy(self) -> None:
        await copies.copy_checkpoint(
            actor=self.actor,
            source_path=str(await self._address()),
            project_id="copies",
            ttl_seconds=None,
            weights_access_token=None,
            idempotency_key=str(uuid.uuid4()),
        )

    async def publish(self) -> None:
        public = self._random.random() < 0.6
        address = await self._address()
        await changes.set_public(actor=self.actor, address=address, public=public)

    async def set_ttl(self) -> None:
        ttl = self._random.choice([None, 3600, 7200])
        address = await self._address()
        await changes.set_ttl(actor=self.actor, address=address, ttl_seconds=ttl)

    async def delete(self) -> None:
        await changes.delete(actor=self.actor, address=await self._address())

    async def restore(self) -> None:
        gone = await self._one(Deleted.objects.filter(team=self.team))
        await undo.restore(actor=self.actor, deleted_id=gone.pk)

    async def purge(self) -> None:
        if self._random.random() < 0.6:
            # so that something is left to be brought back
            raise Nothing
        gone = await self._one(Deleted.objects.filter(team=self.team))
        await undo.purge(actor=self.actor, deleted_id=gone.pk)

    async def let_time_pass(self) -> None:
        address = await self._address()

        def expire(conn: Connection) -> None:
            conn.execute(
                """
                UPDATE checkpoints_checkpoint SET expires_at = now()
                WHERE run_id = %s AND segment = %s AND name = %s
                """,
                address,
            )
            expiry.expire(conn)

        await by_worker(expire)

    # --- members and keys ----------------------------------------------------------------

    async def _user(self) -> User:
        name = f"{self.team.slug} {self._random.randrange(4)}"
        return (await User.objects.aget_or_create(username=name))[0]

    async def set_role(self) -> None:
        role = self._random.choice([Role.VIEWER, Role.MEMBER, Role.OWNER])
        user = await self._user()
        await sync_to_async(accounts.set_role)(team=self.team, user=user, role=role)

    async def remove_member(self) -> None:
        user = await self._user()
        await sync_to_async(accounts.remove_member)(team=self.team, user=user)

    async def make_key(self) -> None:
        await sync_to_async(accounts.create_api_key)(team=self.team, name=f"key {self._next()}")

    async def make_own_key(self) -> None:
        rows = Membership.objects.filter(team=self.team).select_related("user")
        user, name = (await self._one(rows)).user, f"key {self._next()}"
        await sync_to_async(accounts.create_api_key)(team=self.team, name=name, user=user)

    async def change_key(self) -> None:
        key = await self._one(ApiKey.objects.filter(team=self.team, user=None))
        role = self._random.choice([Role.VIEWER, Role.MEMBER])
        await sync_to_async(accounts.set_api_key_role)(key=key, role=role)

    async def revoke_key(self) -> None:
        key = await self._one(ApiKey.objects.filter(team=self.team).select_related("team"))
        await sync_to_async(accounts.revoke_api_key)(key=key)

    async def revoke_own_key(self) -> None:
        key = await self._one(ApiKey.objects.filter(team=self.team))
        await keys.revoke_own(actor=Actor(self.team.pk, self.team.name, key_id=key.pk))


NAMES = sorted(
    name
    for name, verb in vars(Verbs).items()
    if not name.startswith("_") and name not in {"do", "choose"} and callable(verb)
)
