"""The audit log and the ledger over REST, from rows that PostgreSQL keeps from changing."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from audit.models import Entry
from catalog.models import BaseModel
from core import database
from operations.models import Operation
from runs.models import Session
from tests.platform.tinker_api.conftest import BASE_MODEL, Api
from tests.support.hand import Hand
from tests.support.saved import save_checkpoint
from usage import models as usage_models
from usage import services as usage
from usage.models import Kind
from usage.services import Used


def window(**changes: str) -> dict[str, str]:
    """The hours around now."""
    hour = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    return {
        "starting_on": hour.isoformat(),
        "ending_before": (hour + timedelta(hours=2)).isoformat(),
    } | changes


class TestAudit:
    """`audit`."""

    async def test_a_day(self, api: Api, other_api: Api, settings: Any, tmp_path: Path) -> None:
        settings.DATA_DIR = tmp_path
        session = await api.session()
        item = await save_checkpoint(await api.run(session))
        await api.put(f"sessions/{session}/project", json={"project_id": "p"})
        await api.post(f"training_runs/{item.run_id}/checkpoints/weights/s1/publish")
        entries = (await api.get("audit")).json()["entries"]
        assert [entry["event"] for entry in entries] == [
            "api_key_created",
            "project_session_assigned",
            "checkpoint_published",
        ]
        last = entries[-1]
        assert (last["tinker_path"], last["model_id"]) == (item.path, item.run_id)
        assert last["event_details"]["target"] == item.path
        assert last["event_details"]["key_id"]
        for group, count in (("checkpoints", 1), ("projects", 1), ("teams", 1), ("all", 3)):
            shown = (await api.get(f"audit?event_type={group}")).json()["entries"]
            assert len(shown) == count, group
        others = (await other_api.get("audit")).json()["entries"]
        assert [entry["event"] for entry in others] == ["api_key_created"]
        assert (await api.get("audit?day=2020-01-01")).json() == {"entries": []}

    @pytest.mark.parametrize("query", ["day=today", "day=9999-12-31", "day=", "event_type=x"])
    async def test_bad_questions(self, api: Api, query: str) -> None:
        response = await api.get(f"audit?{query}")
        assert response.status_code == 400
        assert query.partition("=")[0] in response.json()["detail"]


@transaction.atomic
def _execute(statement: str) -> None:
    connection.cursor().execute(statement)


@pytest.mark.parametrize("table", ["audit_entry", "usage_entry", "usage_endedcheckpoint"])
@pytest.mark.django_db
def test_entries_cannot_be_changed(table: str) -> None:
    Entry.objects.create(team_id=1, event="x.y", target="z")
    usage_models.Entry.objects.create(
        operation_id=1,
        kind="train",
        team_id=1,
        session_id="s",
        target="t",
        base_model="b",
        quantity=1,
    )
    moment = timezone.now()
    usage_models.EndedCheckpoint.objects.create(
        team_id=1, path="t", size_bytes=1, created_at=moment, ended_at=moment
    )
    for statement in (f"UPDATE {table} SET team_id = 2", f"DELETE FROM {table}"):
        with pytest.raises(DatabaseError, match="append-only"):
            _execute(statement)


class TestUsage:
    """`billing/usage`."""

    async def test_tokens_by_the_hour(self, api: Api, other_api: Api, hand: Hand) -> None:
        await BaseModel.objects.filter(name=BASE_MODEL).aupdate(train_price=Decimal("2.5"))
        session = await api.session()
        await Session.objects.filter(id=session).aupdate(user_metadata={"a": "b"})
        run, sampler = await api.run(session), await api.sampler(session)
        for seq in (1, 2, 3):
            await api.call("optim_step", model_id=run, seq_id=seq)
        await api.call("asample", sampling_session_id=sampler, seq_id=0)
        claimed = {(item.target, item.seq): item for item in hand.claim()}
        amounts = {
            (run, 1): [Used(Kind.TRAIN, 100)],
            (run, 2): [Used(Kind.TRAIN, 50), Used(Kind.SCORE, 0)],
            (sampler, 0): [
                Used(Kind.PREFILL, 7),
                Used(Kind.PREFILL_CACHED, 3),
                Used(Kind.SAMPLE, 20),
            ],
        }
        for address, used in amounts.items():
            hand.finish(claimed[address], content_type="x", body=b"", used=used)
        hand.finish(claimed[run, 3], error="no", category="user", used=[Used(Kind.TRAIN, 9)])

        reply = (await api.get("billing/usage/events", params=window())).json()
        assert reply["sessions"] == {session: {"user_metadata": {"a": "b"}}}
        train = reply["data"][0]
        assert train["event_info"] == {"type": "training", "token_count": 150}
        assert train["estimated_cost_usd"] == pytest.approx(150 * 2.5 / 1e6)
        assert train["effective_rate_usd_per_million_tokens"] == 2.5
        assert (train["base_model"], train["session_id"]) == (BASE_MODEL, session)
        assert [item["event_info"] for item in reply["data"][1:]] == [
            {"type": "sampling_sample", "token_count": 20},
            {"type": "sampling_prefill", "cached": False, "token_count": 7},
            {"type": "sampling_prefill", "cached": True, "token_count": 3},
        ]
        assert reply["data"][1]["estimated_cost_usd"] is None
        other = await other_api.get("billing/usage/events", params=window())
        assert other.json() == {"data": [], "sessions": {}}

    async def test_prices_are_those_of_the_moment(self, api: Api, hand: Hand) -> None:
        run = await api.run(await api.session())
        for price in (Decimal(1), Decimal(2)):
            await BaseModel.objects.filter(name=BASE_MODEL).aupdate(train_price=price)
            await api.call("optim_step", model_id=run, seq_id=int(price))
            for operation in hand.claim():
                hand.finish(operation, content_type="x", body=b"", used=[Used(Kind.TRAIN, 10)])
        reply = (await api.get("billing/usage/events", params=window())).json()
        rates = [item["effective_rate_usd_per_million_tokens"] for item in reply["data"]]
        assert sorted(rates) == [1.0, 2.0]

    async def test_what_is_done_again_is_entered_once(self, api: Api) -> None:
        await api.run(await api.session())
        operation = await Operation.objects.aget()
        with database.connect() as conn:
            for _ in range(2):
                usage.record(conn, [(operation.id, Used(Kind.TRAIN, 10))])
        assert await usage_models.Entry.objects.acount() == 1

    async def test_checkpoint_storage(
        self, api: Api, other_api: Api, settings: Any, tmp_path: Path
    ) -> None:
        settings.DATA_DIR = tmp_path
        sessions = [await api.session() for _ in range(2)]
        await api.put(f"sessions/{sessions[1]}/project", json={"project_id": "night"})
        first, second = [await api.run(session) for session in sessions]
        await save_checkpoint(first, name="a", size_bytes=3_000_000_000)
        await save_checkpoint(first, name="b", size_bytes=1)
        await save_checkpoint(second, size_bytes=2)
        past = timezone.now() - timedelta(days=1)
        await save_checkpoint(second, name="gone", size_bytes=99, expires_at=past)
        data = (await api.get("billing/usage/checkpoints/current")).json()["data"]
        assert [
            (item["project_id"], item["checkpoint_count"], item["size_bytes"]) for item in data
        ] == [
            ("default", 2, 3_000_000_001),
            ("night", 1, 2),
        ]
        assert data[0]["size_gigabytes"] == pytest.approx(3.0)
        one = await api.get("billing/usage/checkpoints/current?project_id=night")
        assert [item["size_bytes"] for item in one.json()["data"]] == [2]
        assert (await other_api.get("billing/usage/checkpoints/current")).json() == {"data": []}

    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"starting_on": "2026-01-01"}, "ending_before"),
            ({"starting_on": "2026-01-01T00:30:00Z"}, "starting_on"),
            ({"starting_on": "2026-01-01T00:00:00+05:30"}, "starting_on"),
            ({"starting_on": "now"}, "starting_on"),
            ({"starting_on": "2026-01-01T00:00:00"}, "starting_on"),
            ({"starting_on": "0001-01-01T00:00:00+10:00"}, "starting_on"),
            ({"starting_on": "2126-01-01T00:00:00Z"}, "future"),
            ({"ending_before": "2000-01-01T00:00:00Z"}, "ending_before"),
        ],
    )
    async def test_bad_windows(self, api: Api, changes: dict[str, str], word: str) -> None:
        response = await api.get("billing/usage/events", params=window(**changes))
        assert response.status_code == 400
        assert word in response.json()["detail"] or "starting_on" in response.json()["detail"]
