"""Signing in to the admin: throttled, few passwords checked at once, every try audited."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from django.contrib.auth.hashers import PBKDF2PasswordHasher

from accounts import sign_in
from accounts.models import User
from audit.models import Entry

PASSWORD = "right-horse-battery"
PATH = "/admin/login/"


class Checked:
    """How many passwords are checked, and how many at once."""

    def __init__(self) -> None:
        self.now = self.most = self.count = 0


@pytest.fixture(autouse=True)
def fresh(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No failures so far, and hosts that tests use."""
    settings.ALLOWED_HOSTS = ["*"]
    monkeypatch.setattr(sign_in, "REST", 0.0)
    sign_in.throttle.forget()
    yield
    sign_in.throttle.forget()


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    """Watches the hasher, and makes it slow."""
    watched = Checked()
    encode = PBKDF2PasswordHasher.encode

    def slow(self: Any, *args: Any, **kwargs: Any) -> str:
        watched.now += 1
        watched.count += 1
        watched.most = max(watched.most, watched.now)
        time.sleep(0.05)
        try:
            return encode(self, args[0], args[1], iterations=1)
        finally:
            watched.now -= 1

    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", slow)
    monkeypatch.setattr(PBKDF2PasswordHasher, "must_update", lambda *_: False)
    return watched


@pytest_asyncio.fixture
async def boss(transactional_db: None, checked: Checked) -> User:
    """Who may sign in."""
    return await asyncio.to_thread(User.objects.create_superuser, "boss", password=PASSWORD)


class Browser:
    """One browser at an address."""

    def __init__(self, application: Any, address: str = "1.2.3.4") -> None:
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=application, client=(address, 1)),
            base_url="http://testserver",
        )

    async def sign_in(self, name: str, password: str, **headers: str) -> httpx.Response:
        """Send the page's form."""
        if "sessionid" in self.http.cookies:
            self.http.cookies.delete("sessionid")
        page = await self.http.get(PATH)
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', page.text)
        assert token
        form = {"csrfmiddlewaretoken": token[1], "username": name, "password": password}
        return await self.http.post(PATH, data=form, headers=headers)


@pytest_asyncio.fixture
async def browsers(application: Any, boss: User) -> AsyncIterator[Any]:
    """Makes browsers."""
    made: list[Browser] = []

    def make(address: str = "1.2.3.4") -> Browser:
        made.append(Browser(application, address))
        return made[-1]

    yield make
    for browser in made:
        await browser.http.aclose()


async def audited() -> list[tuple[str, str, Any]]:
    """The entries so far."""
    entries = Entry.objects.order_by("id").values_list("event", "target", "details")
    return [entry async for entry in entries]


async def test_the_right_password_lets_in_and_the_wrong_one_does_not(browsers: Any) -> None:
    browser = browsers()
    wrong = await browser.sign_in("boss", "wrong")
    assert (wrong.status_code, "sessionid" in browser.http.cookies) == (200, False)
    right = await browser.sign_in("boss", PASSWORD)
    assert (right.status_code, "sessionid" in browser.http.cookies) == (302, True)
    assert await audited() == [
        ("user.sign_in_failed", "boss", {"address": "1.2.3.4"}),
        ("user.signed_in", "boss", {"address": "1.2.3.4"}),
    ]


async def test_a_password_in_the_wrong_field_is_not_audited(browsers: Any) -> None:
    for name in ("my-secret", "nul\0"):
        assert (await browsers().sign_in(name, "x")).status_code == 200
    assert {target for _, target, _ in await audited()} == {"(an unknown name)"}


async def test_an_address_that_fails_too_often_is_refused_unchecked(
    browsers: Any, checked: Checked, caplog: pytest.LogCaptureFixture
) -> None:
    browser = browsers()
    for number in range(sign_in.PER_ADDRESS.amount):
        assert (await browser.sign_in(f"name-{number}", "wrong")).status_code == 200
    before = checked.count
    for name in ("boss", "another"):
        refused = await browser.sign_in(name, PASSWORD)
        assert (refused.status_code, "sessionid" in browser.http.cookies) == (429, False)
        assert "try again in" in refused.text
    assert checked.count == before
    assert [record.name for record in caplog.records] == ["accounts.views"], "once a minute"
    assert (await browsers("5.6.7.8").sign_in("boss", PASSWORD)).status_code == 302


async def test_a_made_up_address_helps_nobody(browsers: Any, settings: Any) -> None:
    browser = browsers()
    for number in range(sign_in.PER_ADDRESS.amount):
        await browser.sign_in("x", "y", **{"X-Forwarded-For": f"9.9.9.{number}"})
    assert (await browser.sign_in("x", "y")).status_code == 429
    settings.PROXIES = 1
    for number in range(sign_in.PER_ADDRESS.amount + 1):
        through = {"X-Forwarded-For": f"9.9.9.{number}, 8.8.8.8"}
        last = await browser.sign_in("z", "y", **through)
    assert last.status_code == 429
    other = await browser.sign_in("z", "y", **{"X-Forwarded-For": "8.8.8.8, 7.7.7.7"})
    assert other.status_code == 200


async def test_a_network_of_ipv6_is_one_address(browsers: Any) -> None:
    for number in range(sign_in.PER_ADDRESS.amount):
        await browsers(f"2001:db8::{number:x}").sign_in("x", "y")
    assert (await browsers("2001:db8::ffff:1").sign_in("x", "y")).status_code == 429
    assert (await browsers("2001:db8:0:1::1").sign_in("x", "y")).status_code == 200
    # IPv4 through a socket of both
    for number in range(sign_in.PER_ADDRESS.amount):
        await browsers("::ffff:9.9.9.9").sign_in(f"name-{number}", "y")
    assert (await browsers("9.9.9.9").sign_in("y", "y")).status_code == 429
    assert (await browsers("::ffff:8.8.8.8").sign_in("y", "y")).status_code == 200


async def test_a_name_is_guarded_against_many_addresses_but_not_from_its_owner(
    browsers: Any, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = browsers()
    assert (await mine.sign_in("boss", PASSWORD)).status_code == 302
    for number in range(sign_in.PER_NAME.amount):
        assert (await browsers(f"10.0.0.{number}").sign_in("Boss", "x")).status_code == 200
    before = checked.count
    assert (await browsers("10.1.1.1").sign_in("boss", PASSWORD)).status_code == 429
    assert checked.count == before
    assert (await mine.sign_in("boss", PASSWORD)).status_code == 302
    # the mark of another name opens nothing
    thief = browsers("10.1.1.2")
    thief.http.cookies.set("tinsmith_known", "boss:forged")
    assert (await thief.sign_in("boss", PASSWORD)).status_code == 429


async def test_failures_of_others_at_its_address_do_not_lock_the_owner_out(
    browsers: Any, checked: Checked
) -> None:
    """Whoever sits behind the same router, or the same proxy that nobody told the server of."""
    mine, stranger = browsers(), browsers()
    assert (await mine.sign_in("boss", PASSWORD)).status_code == 302
    for _ in range(sign_in.PER_ADDRESS.amount):
        await stranger.sign_in("boss", "x")
    assert (await stranger.sign_in("boss", PASSWORD)).status_code == 429
    assert (await mine.sign_in("boss", PASSWORD)).status_code == 302
    # for another name it is a browser like any
    assert (await mine.sign_in("another", "x")).status_code == 429
    # nor does it guess for ever, wherever it goes
    before = checked.count
    for _ in range(sign_in.PER_ADDRESS.amount + 3):
        last = await mine.sign_in("boss", "x")
    assert last.status_code == 429
    assert checked.count - before == sign_in.PER_ADDRESS.amount


async def test_an_address_is_the_same_however_it_is_written(browsers: Any, settings: Any) -> None:
    settings.PROXIES = 1
    for port in range(sign_in.PER_ADDRESS.amount):
        await browsers().sign_in("x", "y", **{"X-Forwarded-For": f"8.8.8.8:{port + 1000}"})
    for written in ("8.8.8.8", "::ffff:8.8.8.8", "[::ffff:8.8.8.8]:80"):
        refused = await browsers().sign_in("x", "y", **{"X-Forwarded-For": written})
        assert refused.status_code == 429, written
    assert {entry[2]["address"] for entry in await audited()} == {"8.8.8.8"}


async def test_a_storm_is_refused_and_never_an_error(
    browsers: Any, checked: Checked, boss: User
) -> None:
    crowd = [browsers(f"10.2.0.{number}") for number in range(20)]
    answers = await asyncio.gather(*(browser.sign_in("boss", "wrong") for browser in crowd))
    statuses = sorted({answer.status_code for answer in answers})
    assert statuses == [200, 429]
    assert checked.most == 1
    assert all(answer.headers["Retry-After"] for answer in answers if answer.status_code == 429)


async def test_many_tries_at_once_do_not_outrun_the_count(
    browsers: Any, checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_in, "MOST_WAITING", 100)
    crowd = [browsers() for _ in range(sign_in.PER_ADDRESS.amount + 6)]
    before = checked.count
    await asyncio.gather(*(browser.sign_in("boss", "wrong") for browser in crowd))
    assert checked.count - before == sign_in.PER_ADDRESS.amount


async def test_after_a_check_the_processor_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sign_in, "REST", 3.0)
    checking = sign_in.Checking()
    spans: list[tuple[float, float]] = []
    for _ in range(3):
        async with checking.turn():
            begun = time.monotonic()
            await asyncio.sleep(0.03)
            spans.append((begun, time.monotonic()))
    for (begun, ended), (after, _) in itertools.pairwise(spans):
        assert after - ended >= 3.0 * (ended - begun) * 0.99


async def test_the_audit_log_is_read_and_never_written(browsers: Any, boss: User) -> None:
    browser = browsers()
    await browser.sign_in("boss", "wrong")
    await browser.sign_in("boss", PASSWORD)
    page = await browser.http.get("/admin/audit/entry/")
    assert page.status_code == 200
    assert "user.sign_in_failed" in page.text
    entry = await Entry.objects.afirst()
    assert entry is not None
    for path in ("add/", f"{entry.id}/delete/"):
        assert (await browser.http.get(f"/admin/audit/entry/{path}")).status_code == 403
    assert (await browser.http.post(f"/admin/audit/entry/{entry.id}/change/")).status_code == 403
    assert await Entry.objects.acount() == 2
