"""The socket: who gets one, what it tells, and what ends it."""

from __future__ import annotations

import asyncio
import random

import pytest
import websockets
from asgiref.sync import sync_to_async
from django.contrib.sessions.models import Session

from accounts.models import Membership, Role, Team, User
from core import database
from events import reader, services
from events.models import Kind
from live import guard, tail, telling
from tests.platform.live.conftest import Page, Web, happen, someone
from tests.support.door_tables import SOCKETS
from tests.support.waiting import eventually_async


async def now() -> str:
    """The cursor of somebody who has seen everything."""
    async with database.connection() as conn:
        return str(await reader.current(conn))


class TestWhoGetsOne:
    """Origin and session when it opens, membership as long as it is open."""

    @pytest.mark.parametrize("role", list(Role))
    async def test_who_is_in_the_team(
        self, web: Web, team: Team, user: User, cookie: str, role: Role
    ) -> None:
        assert role.covers(SOCKETS["api/console/live"])
        await Membership.objects.filter(team=team, user=user).aupdate(role=role)
        page = Page(web, cookie, team=team.slug)
        await page.open()
        first = await page.hear()
        assert first is not None
        assert first["cursor"]
        assert "events" not in first

    @pytest.mark.parametrize(
        "origin", ["http://evil.example", "https://127.0.0.1", "null", "http://127.0.0.1:1"]
    )
    async def test_no_page_of_others(self, web: Web, team: Team, cookie: str, origin: str) -> None:
        with pytest.raises(websockets.InvalidStatus) as refused:
            await Page(web, cookie, team=team.slug).open(origin=origin)
        assert refused.value.response.status_code == 403
        assert guard.current().sockets == 0

    async def test_nobody_who_is_not_signed_in(self, web: Web, team: Team) -> None:
        page = Page(web, "nonsense", team=team.slug)
        await page.open()
        assert await page.hear() is None
        assert page.code == 4401

    async def test_other_teams_runs_are_not_there(
        self, web: Web, team: Team, cookie: str, run: str
    ) -> None:
        *_, their_cookie = await someone("eve")
        for asked in ({"run": run}, {"team": team.slug}, {"run": "nothing"}, {"run": "\0"}):
            page = Page(web, their_cookie, **asked)
            await page.open()
            assert await page.hear() is None
            assert page.code == 4404
        page = Page(web, cookie, run=run)
        await page.open()
        assert await page.hear() is not None

    @pytest.mark.parametrize(
        "asked",
        [{}, {"team": "x", "run": "y"}, {"other": "x"}, {"team": "x", "after": "12"}],
    )
    async def test_what_cannot_be_read_is_refused(
        self, web: Web, cookie: str, asked: dict[str, str]
    ) -> None:
        page = Page(web, cookie, **asked)
        await page.open()
        assert await page.hear() is None
        assert page.code == 4400

    async def test_clients_have_nothing_to_say(self, web: Web, team: Team, cookie: str) -> None:
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        assert page.socket is not None
        await page.socket.send("hello")
        assert await page.hear() is None
        assert page.code == 4400

    @pytest.mark.parametrize(
        ("loses", "code"),
        [("membership", 4404), ("session", 4401), ("password", 4401), ("activity", 4401)],
    )
    async def test_what_is_lost_ends_it(
        self, web: Web, team: Team, user: User, cookie: str, loses: str, code: int
    ) -> None:
        _, theirs, their_cookie = await someone("eve")
        page, other = Page(web, cookie, team=team.slug), Page(web, their_cookie, team=theirs.slug)
        for one in (page, other):
            await one.open()
            await one.hear()
        await guard.current().check()
        if loses == "membership":
            await Membership.objects.filter(user=user).adelete()
        elif loses == "session":
            await Session.objects.filter(session_key=cookie).adelete()
        elif loses == "password":
            await sync_to_async(user.set_password)("another one")
            await user.asave()
        else:
            await User.objects.filter(pk=user.pk).aupdate(is_active=False)
        await guard.current().check()
        assert await page.hear() is None
        assert page.code == code
        await happen(theirs, "still told")
        await other.hear_of("still told")
        assert other.about == ["still told"]

    async def test_it_is_checked_by_and_by(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "CHECKS_EVERY_S", 0.05)
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        await Membership.objects.all().adelete()
        assert await page.hear() is None
        assert page.code == 4404

    async def test_a_person_has_so_many(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "MOST_OF_USER", 2)
        pages = [Page(web, cookie, team=team.slug) for _ in range(3)]
        for page in pages:
            await page.open()
            await page.hear()
        assert [page.code for page in pages] == [None, None, 4429]
        await pages[0].cut()
        await eventually_async(lambda: guard.current().sockets == 1)
        await pages[2].open()
        assert await pages[2].hear() is not None

    async def test_a_process_has_so_many(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(guard, "MOST_SOCKETS", 1)
        first = Page(web, cookie, team=team.slug)
        await first.open()
        await first.hear()
        with pytest.raises(websockets.InvalidStatus):
            await Page(web, cookie, team=team.slug).open()
        await happen(team, "heard")
        await first.hear_of("heard")
        assert first.about == ["heard"]


class TestWhatItTells:
    """What happens, in order, once, whatever happens to the line."""

    async def test_a_team_of_all_and_a_run_of_its_own(
        self, web: Web, team: Team, cookie: str, run: str
    ) -> None:
        of_team, of_run = Page(web, cookie, team=team.slug), Page(web, cookie, run=run)
        for page in (of_team, of_run):
            await page.open()
            await page.hear()
        _, theirs, _ = await someone("eve")
        await happen(theirs, "theirs")
        await happen(team, "the team's", "another run's")
        await happen(team, "the run's", run=run)
        for page in (of_team, of_run):
            await page.hear_of("the run's")
        assert of_run.about == ["the run's"]
        assert of_team.about == ["the team's", "another run's", "the run's"]

    async def test_at_most_ten_frames_a_second(self, web: Web, team: Team, cookie: str) -> None:
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        clock = asyncio.get_running_loop().time
        began, before = clock(), len(page.frames)
        names = [str(number) for number in range(60)]
        for name in names:
            await happen(team, name)
        await page.hear_of(*names)
        assert page.about == names
        assert len(page.frames) - before <= (clock() - began) / telling.FRAMES_EVERY_S + 1

    async def test_who_has_nothing_to_hear_hears_that(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telling, "IDLE_S", 0.2)
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        frames = [await page.hear() for _ in range(3)]
        assert [list(frame or {}) for frame in frames][-1] == ["cursor"]

    @pytest.mark.parametrize("seed", range(3))
    async def test_no_gap_and_no_double_over_cuts_and_restarts(
        self, web: Web, team: Team, cookie: str, seed: int
    ) -> None:
        chance = random.Random(seed)
        pages = [Page(web, cookie, team=team.slug) for _ in range(3)]
        for page in pages:
            await page.open()
            await page.hear()
        names = iter(map(str, range(10_000)))
        done: list[str] = []
        for turn in range(14):
            burst = [next(names) for _ in range(chance.choice([0, 1, 3, 40]))]
            done += burst
            writing = [asyncio.create_task(happen(team, *burst[part::3])) for part in range(3)]
            page = chance.choice(pages)
            if chance.random() < 0.5 and burst:
                await page.hear()
            if turn % 5 == 4:
                await web.stop()
                await web.start()
                again = pages
            else:
                again = [page]
            if chance.random() < 0.5:
                await asyncio.gather(*writing)
            for one in again:
                await one.cut()
                await one.open()
            await asyncio.gather(*writing)
        await happen(team, "last")
        for page in pages:
            await page.hear_of("last")
            assert sorted(page.about) == sorted([*done, "last"])
            assert len(set(page.told)) == len(page.told)

    async def test_a_cursor_from_another_process_may_be_ahead(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What its client knows is not told again, though this process has yet to read it."""
        there, here = Page(web, cookie, team=team.slug), Page(web, cookie, team=team.slug)
        for page in (there, here):
            await page.open()
            await page.hear()
        await happen(team, "known")
        await there.hear_of("known")
        await web.stop()
        monkeypatch.setattr(tail, "LOOKS_EVERY_S", 1.0)
        await web.start()
        await here.open()  # its reader begins, then rests
        await here.hear_of("known")
        await happen(team, "known, too")
        known = await now()
        there.cursor = known
        await there.open()
        await there.hear()
        await happen(team, "new")
        await there.hear_of("new")
        await here.hear_of("new")
        assert there.about == ["known", "new"]
        assert here.about == ["known", "known, too", "new"]

    async def test_a_lost_connection_to_the_database_loses_nothing(
        self, web: Web, team: Team, cookie: str
    ) -> None:
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        with database.connect() as conn:
            cut = """
                SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid()
                  AND query ~ 'LISTEN|events_event|operations_lane|operations_worker'
            """
            assert conn.execute(cut).fetchone() != (0,)
            new = services.event(Kind.RUN_CREATED, "meanwhile", team_id=team.pk)
            services.write_sync(conn, new)
            services.announce(conn)
        await page.hear_of("meanwhile")
        assert page.about == ["meanwhile"]
        assert page.code is None

    async def test_who_comes_too_late_starts_afresh(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        await page.cut()
        monkeypatch.setattr(telling, "MOST_REPLAYED", 3)
        await happen(team, *"abcd")
        await page.open()
        first = await page.hear()
        assert first is not None
        assert first["afresh"] is True
        await happen(team, "new")
        await page.hear_of("new")
        assert page.about == ["new"]

    async def test_a_future_cursor_starts_afresh(self, web: Web, team: Team, cookie: str) -> None:
        page = Page(web, cookie, team=team.slug)
        server = (await now()).partition(".")[0]
        page.cursor = f"{server}.4000000000:4000000000:"
        await page.open()
        first = await page.hear()
        assert first is not None
        assert first["afresh"] is True
        await happen(team, "new")
        await page.hear_of("new")

    async def test_how_runs_and_workers_stand(
        self, web: Web, team: Team, cookie: str, run: str
    ) -> None:
        of_team, of_run = Page(web, cookie, team=team.slug), Page(web, cookie, run=run)
        stands = {"claimed_seq": -1, "applied_seq": -1, "at_work": False, "restoring": False}
        for page in (of_team, of_run):
            await page.open()
            first = await page.hear()
            assert first is not None
            assert first["runs"] == [{"id": run, "silent": False, **stands}]


class TestWhatIsSlow:
    """Clients that do not read cost little and end."""

    async def test_who_falls_behind_is_told_to_come_again(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tail, "MOST_WAITING", 5)
        monkeypatch.setattr(tail, "LOOKS_EVERY_S", 0.5)
        page = Page(web, cookie, team=team.slug)
        await page.open()
        await page.hear()
        names = [str(number) for number in range(40)]
        await happen(team, *names)
        while page.code is None:
            await page.hear()
        assert page.code == 4408
        monkeypatch.undo()
        await page.open()
        await page.hear_of(*names)
        assert page.about == names

    async def test_others_do_not_wait_for_one_that_does_not_read(
        self, web: Web, team: Team, cookie: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("core.sockets.READS_WITHIN_S", 1.0)
        slow, quick = Page(web, cookie, team=team.slug), Page(web, cookie, team=team.slug)
        for page in (slow, quick):
            await page.open()
            await page.hear()
        assert slow.socket is not None
        slow.socket.transport.pause_reading()  # type: ignore[attr-defined]
        text = "x" * 30_000
        told = 0
        while guard.current().sockets == 2:
            names = [f"{told} {text}"]
            told += 1
            await happen(team, *names)
            await quick.hear_of(*names)
            assert told < 2000
        assert len(quick.about) == told
