"""Signing in to the dashboard, by password and by link, and out again."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import pytest

from accounts import one_time_links
from accounts.models import Team, User
from audit.models import Entry
from config.standalone.access import Access
from config.standalone.running import Platform
from config.standalone.up import show_run
from core.embedded import DataFolder
from tests.platform.console_api.conftest import Api, Browser, Open, make_person, make_run

SITE = "http://testserver"


async def test_a_member_signs_in_and_out(open_browser: Open, team: Team) -> None:
    await make_person("ana", team)
    browser = open_browser()
    assert (await browser.shown("session")) == {"signed_in": False}
    assert (await browser.get("me")).status_code == 401
    assert (await browser.sign_in("ana")).status_code == 204
    me = await browser.shown("me")
    assert (me["username"], me["is_staff"]) == ("ana", False)
    assert me["teams"] == [{"slug": "team", "name": "Team", "role": "member"}]
    assert await Entry.objects.filter(event="user.signed_in", target="ana").aexists()
    assert (await browser.delete("session")).status_code == 204
    assert (await browser.get("me")).status_code == 401


async def test_a_wrong_password_signs_nobody_in_and_is_counted(
    open_browser: Open, team: Team
) -> None:
    await make_person("ana", team)
    browser = open_browser()
    refused = await browser.sign_in("ana", "wrong")
    assert refused.status_code == 400
    assert refused.json()["detail"] == "the name or the password is not right"
    for _ in range(9):
        assert (await browser.sign_in("ana", "wrong")).status_code == 400
    assert (await browser.sign_in("ana")).status_code == 429
    assert (await browser.get("me")).status_code == 401
    assert await Entry.objects.filter(event="user.sign_in_failed").acount() == 10


async def test_signing_in_needs_the_token_of_a_page_of_ours(open_browser: Open, team: Team) -> None:
    await make_person("ana", team)
    browser = open_browser()
    answer = await browser.post("session", json={"username": "ana", "password": "x"})
    assert answer.status_code == 403
    assert not await Entry.objects.filter(event="user.sign_in_failed").aexists()


async def test_a_session_that_somebody_else_chose_is_not_signed_in(
    open_browser: Open, team: Team
) -> None:
    await make_person("ana", team)
    browser, attacker = open_browser(), open_browser()
    await browser.get(f"{SITE}/sign-in")
    for one in (browser, attacker):
        one.cookies.set("sessionid", "a" * 32, domain="testserver.local")
    await browser.sign_in("ana")
    assert (await browser.shown("me"))["username"] == "ana"
    assert (await attacker.get("me")).status_code == 401


async def test_bodies_that_are_no_sign_in_are_refused(open_browser: Open, team: Team) -> None:
    browser = open_browser()
    await browser.get("session")
    for body in (b"", b"[]", b'{"username": 1, "password": "x"}', b'{"username": "a\\u0000"}'):
        answer = await browser.post("session", content=body)
        assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")
    nul = await browser.post("session", json={"username": "a\0", "password": "b"})
    assert nul.status_code == 400
    for sent in (
        {"content": b'{"username": "\xff", "password": "b"}'},
        {"content": b"[" * 100_000},
        {"data": {"username": "a"}, "files": {"password": b"b"}},
    ):
        answer = await browser.post("session", **sent)
        assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


async def test_a_link_signs_in_once(open_browser: Open, team: Team) -> None:
    user = await make_person("ana", team)
    token = await asyncio.to_thread(one_time_links.make, user)
    first, second = open_browser(), open_browser()
    address = f"{SITE}/sign-in/once/{token}?next=/runs/some"
    answer = await first.get(address)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/runs/some")
    assert (await first.shown("me"))["username"] == "ana"
    again = await second.get(address)
    assert (again.status_code, again.headers["Location"]) == (302, "/sign-in?used=1")
    assert (await second.get("me")).status_code == 401


async def test_of_two_who_open_a_link_at_once_one_is_signed_in(
    open_browser: Open, team: Team
) -> None:
    user = await make_person("ana", team)
    token = await asyncio.to_thread(one_time_links.make, user)
    browsers = [open_browser() for _ in range(4)]
    await asyncio.gather(*(one.get(f"{SITE}/sign-in/once/{token}") for one in browsers))
    statuses = [(await one.get("me")).status_code for one in browsers]
    assert sorted(statuses) == [200, 401, 401, 401]


async def test_a_link_leads_to_no_other_server(open_browser: Open, team: Team) -> None:
    user = await make_person("ana", team)
    for elsewhere in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1"):
        await user.arefresh_from_db()
        token = await asyncio.to_thread(one_time_links.make, user)
        answer = await open_browser().get(
            f"{SITE}/sign-in/once/{token}", params={"next": elsewhere}
        )
        assert answer.headers["Location"] == "/"


async def test_a_forged_or_foreign_link_signs_nobody_in(open_browser: Open, team: Team) -> None:
    user = await make_person("ana", team)
    token = await asyncio.to_thread(one_time_links.make, user)
    await User.objects.filter(pk=user.pk).aupdate(is_active=False)
    for bad in (token, "x", token[:-2] + "xx"):
        browser = open_browser()
        answer = await browser.get(f"{SITE}/sign-in/once/{bad}")
        assert answer.headers["Location"] == "/sign-in?used=1"
        assert (await browser.get("me")).status_code == 401


async def test_the_demo_ends_with_a_link_to_its_run(
    open_browser: Open, team: Team, api: Api, tmp_path: Path
) -> None:
    await make_person("ana", team)
    _, newest = await make_run(api), await make_run(api)
    said: list[str] = []
    platform = Platform(DataFolder(tmp_path), say=said.append)
    platform.url = SITE
    await asyncio.to_thread(show_run, platform, Access("tml-x", "ana", None))
    (link,) = re.findall(rf"{SITE}\S+", said[0])
    browser = open_browser()
    answer = await browser.get(link)
    assert (answer.status_code, answer.headers["Location"]) == (302, f"/runs/{newest}")
    assert (await browser.shown(f"runs/{newest}"))["id"] == newest


@pytest.fixture
def built(settings: Any, tmp_path: Path) -> str:
    """A build of the dashboard, and what is in its page."""
    settings.DASHBOARD_DIR = tmp_path
    text = "<!doctype html><title>the dashboard</title>"
    (tmp_path / "index.html").write_text(text)
    return text


async def test_a_dashboard_that_is_not_built_says_how(
    browser: Browser, settings: Any, tmp_path: Path
) -> None:
    settings.DASHBOARD_DIR = tmp_path / "nowhere"
    answer = await browser.get(f"{SITE}/runs/x")
    assert answer.status_code == 503
    assert "npm run build" in answer.text


async def test_a_new_build_is_shown_at_once(browser: Browser, built: str, tmp_path: Path) -> None:
    assert (await browser.get(f"{SITE}/")).text == built
    (tmp_path / "index.html").write_text("a newer one")
    assert (await browser.get(f"{SITE}/")).text == "a newer one"


async def test_the_pages_forbid_what_they_do_not_need(
    browser: Browser, api: Api, built: str
) -> None:
    for path in ("/", "/runs/x", "/sign-in", "/sessions/x", "/training_runs/x", "/checkpoints"):
        answer = await browser.get(f"{SITE}{path}")
        assert (answer.status_code, answer.text) == (200, built), path
        policy = answer.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Frame-Options"] == "DENY"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "same-origin"
        assert answer.headers["Cache-Control"] == "no-cache"


async def test_who_is_not_signed_in_finds_what_this_server_is(open_browser: Open) -> None:
    answer = await open_browser().get(f"{SITE}/")
    assert "This server fine-tunes language models" in answer.text
    assert 'href="/sign-in"' in answer.text
