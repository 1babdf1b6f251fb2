"""How the cluster stands: what waits, behind whom, and for whom there was work."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone

from accounts.models import Team
from core import database, hub
from operations import cluster, workers
from operations.models import Lane, Operation
from runs import cluster as shown
from tests.support.log import Log
from usage.models import Entry


@pytest_asyncio.fixture(autouse=True)
async def fresh() -> AsyncIterator[None]:
    """Nobody has looked yet; what the test's event loop opens is closed."""
    cluster.forget()
    yield
    await hub.shutdown()
    await database.shutdown()


async def cluster_of(*teams: Team, is_administrator: bool = False) -> shown.Cluster:
    """What somebody in these teams sees now."""
    cluster.forget()
    names = {team.pk: team.name for team in teams}
    return await shown.of_person(teams=names, is_administrator=is_administrator)


def make_older() -> None:
    """All that waits has waited for a minute."""
    Operation.objects.update(created_at=timezone.now() - timedelta(minutes=1))


def fill(log: Log, chance: random.Random) -> list[Team]:
    """Teams with samplers, each with one operation, in a mixed order of arrival."""
    teams = [log.team(f"team{number}") for number in range(3)]
    for _ in range(15):
        log.append(log.sampler(chance.choice(teams)), 0)
    make_older()
    return teams


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_the_place_is_the_order_in_which_a_worker_claims_all_at_once(
    log: Log, seed: int
) -> None:
    chance = random.Random(seed)
    teams = await sync_to_async(fill)(log, chance)
    found = (await cluster.look()).waiting
    assert [row.place for row in found] == list(range(1, 16))

    def claimed() -> list[str]:
        return [one.target for one in log.claim(log.worker(), limit=5)]

    # of those that are taken together it says which, not in which order
    assert set(await sync_to_async(claimed)()) == {row.target for row in found[:5]}
    for row in found:
        before = [one for one in found if one.place < row.place]
        others = [one for one in before if one.team_id != row.team_id]
        assert (row.ahead, row.own_ahead) == (len(others), len(before) - len(others))
        assert row.teams_ahead == len({one.team_id for one in others})
    assert {row.team_id for row in found} <= {team.pk for team in teams}


async def test_a_run_behind_others_says_how_many_and_names_nobody(log: Log) -> None:
    def prepare() -> tuple[Team, str]:
        ours, others = log.team("ours"), log.team("the-secret-team")
        log.worker()
        log.append(log.sampler(others), 0, 1)
        run = log.run(ours)
        log.append(run, 1, 2)
        make_older()
        return ours, run.id

    ours, run_id = await sync_to_async(prepare)()
    found = await cluster_of(ours)
    (waiting,) = found.waiting
    assert (waiting.target, waiting.run_id, waiting.operations) == (run_id, run_id, 2)
    assert (waiting.why, waiting.place) == ("busy", 2)
    assert waiting.words == "It is behind 1 operation of 1 other team."
    assert "secret" not in str(found)


async def test_without_a_worker_there_is_the_command_that_starts_one(log: Log) -> None:
    def prepare() -> Team:
        team = log.team("ours")
        log.append(log.run(team), 1)
        make_older()
        return team

    (waiting,) = (await cluster_of(await sync_to_async(prepare)())).waiting
    assert waiting.why == "unserved"
    assert waiting.words == f"No worker is there for the pool '{log.pool}'."
    assert waiting.start is not None
    assert waiting.start.endswith(f"-Q gpu.{log.pool}")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "next"),
        ({"restoring": True}, "restoring"),
        ({"restore_after": timedelta(minutes=1)}, "retrying"),
        ({"silent": True}, "silent"),
        ({"deaths": 2}, "suspect"),
    ],
)
async def test_reasons(log: Log, changes: dict[str, Any], why: str) -> None:
    def prepare() -> Team:
        team, worker = log.team("ours"), log.worker()
        run = log.run(team)
        log.append(run, 1)
        make_older()
        lane = Lane.objects.filter(pk=run.id)
        lane.update(worker_id=worker, restoring=changes.get("restoring", False))
        if "restore_after" in changes:
            lane.update(restore_after=timezone.now() + changes["restore_after"])
        Operation.objects.update(deaths=changes.get("deaths", 0))
        if "silent" in changes:
            log.die(worker)
            log.worker()
        return team

    (waiting,) = (await cluster_of(await sync_to_async(prepare)())).waiting
    assert waiting.why == why


async def test_workers_tell_what_they_report_and_hosts_to_administrators_alone(log: Log) -> None:
    report = {
        "acme/tiny": {"runs": 2, "slots": 8, "arena_bytes": 100, "sampler_kv_bytes": 20},
        "acme/large": {"not_loaded": "no such file: '/models/large'", "tries": 3},
    }

    def prepare() -> Team:
        worker = log.worker()
        workers.renew(log.conn, worker_id=worker, report=report)
        log.die(log.worker())
        return log.team("ours")

    team = await sync_to_async(prepare)()
    (pool,) = (await cluster_of(team)).pools
    alive, gone = pool.workers
    assert (alive.alive, alive.host, alive.pid, gone.alive) == (True, None, None, False)
    large, tiny = alive.models
    assert (tiny.memory_bytes, tiny.runs, tiny.sampling) == (120, 2, None)
    assert (large.not_loaded, large.memory_bytes) == ("administrators see why", None)
    assert [(one.base_model, one.workers) for one in pool.queues] == [("acme/tiny", 1)]
    (told,) = (await cluster_of(team, is_administrator=True)).pools
    assert told.workers[0].host == "here"
    assert told.workers[0].models[0].not_loaded == "no such file: '/models/large'"


async def test_shares_name_the_persons_teams_and_count_the_others(log: Log) -> None:
    def prepare() -> list[Team]:
        teams = [log.team(name) for name in ("ours", "theirs", "others")]
        now = timezone.now()
        for number, (team, tokens, ago) in enumerate(
            [(0, 30, 0), (1, 50, 10), (2, 20, 0), (0, 999, 3600)]
        ):
            Entry.objects.create(
                operation_id=number,
                kind="train",
                team=teams[team],
                session_id="s",
                target="t",
                base_model="acme/tiny",
                quantity=tokens,
                price=Decimal(0),
                created_at=now - timedelta(seconds=ago),
            )
        return teams

    teams = await sync_to_async(prepare)()
    (pool,) = (await cluster_of(teams[0])).pools
    assert [(one.team, one.teams, one.tokens) for one in pool.shares] == [
        ("ours", 1, 30),
        (None, 2, 70),
    ]


async def test_whoever_asks_again_at_once_costs_no_look(log: Log) -> None:
    first = await cluster.look()
    assert await cluster.look() is first
    cluster.forget()
    assert await cluster.look() is not first
