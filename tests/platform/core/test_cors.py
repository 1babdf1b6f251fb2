"""Which web pages may call the APIs from a browser."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import yaml

from config import env
from core import cors
from openai_api.lane import OpenaiLane
from operations import order
from tests.conftest import REPOSITORY

PAGE = "http://localhost:3000"
ASKS = {
    "Origin": PAGE,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os",
}


def client() -> httpx.AsyncClient:
    """A browser."""
    app = cors.allow(OpenaiLane())
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://server")


@pytest.mark.parametrize("origins", [[PAGE], ["https://x.example", PAGE], ["*"]])
async def test_an_allowed_page_may_call(settings: Any, origins: list[str]) -> None:
    settings.CORS_ORIGINS = origins
    async with client() as browser:
        before = await browser.options("/v1/chat/completions", headers=ASKS)
        answer = await browser.post("/v1/chat/completions", headers={"Origin": PAGE}, json={})
    assert before.status_code == 200
    allowed = before.headers["Access-Control-Allow-Headers"].lower()
    assert {"authorization", "content-type", "x-stainless-os"} <= set(allowed.split(","))
    assert "POST" in before.headers["Access-Control-Allow-Methods"]
    assert answer.status_code == 401, "a page needs a key as everybody does"
    for reply in (before, answer):
        assert reply.headers["Access-Control-Allow-Origin"] in (PAGE, "*")
        assert "Access-Control-Allow-Credentials" not in reply.headers
    shown = answer.headers["Access-Control-Expose-Headers"].split(", ")
    assert {"Retry-After", order.HEADER} <= set(shown)


@pytest.mark.parametrize("origins", [[], ["https://x.example"], ["http://localhost:3001"]])
async def test_others_may_not(settings: Any, origins: list[str]) -> None:
    settings.CORS_ORIGINS = origins
    async with client() as browser:
        before = await browser.options("/v1/chat/completions", headers=ASKS)
        answer = await browser.post("/v1/chat/completions", headers={"Origin": PAGE}, json={})
    assert before.status_code >= 400
    for reply in (before, answer):
        assert "Access-Control-Allow-Origin" not in reply.headers


@pytest.mark.parametrize("wrong", ["localhost:3000", "https://x/", "https://x/path", "ftp://x"])
def test_what_is_no_origin_is_refused(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("TINSMITH_CORS_ORIGINS", f"{PAGE}, {wrong}")
    with pytest.raises(env.BadEnvironment, match="is no origin"):
        env.origins("TINSMITH_CORS_ORIGINS")


def test_compose_hands_the_setting_on() -> None:
    services = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())["services"]
    assert "TINSMITH_CORS_ORIGINS" in services["web"]["environment"]
