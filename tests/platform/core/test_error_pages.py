"""What browsers and programs are answered where there is nothing, or where something broke."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

import config.urls
from core.words import misplaced

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def broken(request: HttpRequest) -> HttpResponse:
    raise RuntimeError("a secret")


class Urls:
    """The real addresses and one that breaks."""

    urlpatterns = [path("broken", broken), *config.urls.urlpatterns]
    handler400 = config.urls.handler400
    handler403 = config.urls.handler403
    handler404 = config.urls.handler404
    handler500 = config.urls.handler500


@pytest.fixture
def browser() -> Iterator[Client]:
    """Somebody's browser; what breaks is answered instead of raised."""
    with override_settings(ROOT_URLCONF=Urls, ALLOWED_HOSTS=["testserver"], DEBUG=False):
        yield Client(enforce_csrf_checks=True, raise_request_exception=False, headers=BROWSER)


def shown(response: HttpResponse, status: int) -> str:
    """A page of ours that leads home."""
    text = response.content.decode()
    assert response.status_code == status
    assert response.headers["Content-Type"].startswith("text/html")
    assert '<a class="button" href="/">Front page</a>' in text
    assert '<link rel="icon" href="data:image/svg+xml,' in text
    assert f"HTTP {status}" in text
    return text


def test_a_page_that_is_not_there_leads_home(browser: Client) -> None:
    text = shown(browser.get("/no/such/<script>page"), 404)
    assert "There is nothing here" in text
    assert "<script>" not in text


def test_a_name_that_the_server_does_not_answer_to_is_told_with_the_setting(
    browser: Client,
) -> None:
    """As when somebody serves other machines with `--host 0.0.0.0`."""
    named = {"Host": "gpu-box:8000"}
    text = shown(browser.get("/docs/sdk", headers=named | BROWSER), 400)
    assert "This server does not answer to the name &#x27;gpu-box&#x27;" in text
    assert "TINSMITH_ALLOWED_HOSTS" in text
    detail = browser.get("/", headers=named | {"Accept": "*/*"}).json()["detail"]
    assert "does not answer to the name 'gpu-box'" in detail
    shown(browser.get("/", headers={"Host": "<script>" * 100} | BROWSER), 400)


def test_what_breaks_tells_browsers_nothing_of_its_insides(browser: Client) -> None:
    text = shown(browser.get("/broken"), 500)
    assert "secret" not in text
    assert "Traceback" not in text


@pytest.mark.django_db
def test_forms_from_elsewhere_and_unreadable_requests_lead_home(browser: Client) -> None:
    shown(browser.post("/admin/login/", {"username": "x"}), 403)
    shown(browser.get("/admin/", headers={"Host": "elsewhere.example"}), 400)


def test_programs_get_json(browser: Client) -> None:
    for accept in ("application/json", "*/*"):
        gone = browser.get("/nowhere", headers={"Accept": accept})
        assert (gone.status_code, gone.json()) == (404, {"detail": "there is no /nowhere"})
        failed = browser.get("/broken", headers={"Accept": accept})
        assert failed.status_code == 500
        assert set(failed.json()) == {"detail"}


def test_who_leaves_out_v1_or_writes_it_twice_is_told_so(browser: Client) -> None:
    answer = browser.post("/chat/completions", headers={"Accept": "application/json"})
    assert answer.status_code == 403 or "/v1" in answer.json()["detail"]
    for wrong in ("/chat/completions", "/models", "/v1/v1/models", "/api/v1/chat/completions"):
        assert "one /v1 at its end" in misplaced(wrong)
    for wrong in ("/v1/api/v1/create_session", "/api/v1/api/v1/create_session"):
        assert "without /v1 or /api/v1" in misplaced(wrong)
    assert misplaced("/v1/models") == misplaced("/api/v1/create_session") == ""


def test_every_page_has_our_picture(browser: Client) -> None:
    for address in ("/favicon.svg", "/favicon.ico"):
        picture = browser.get(address)
        assert picture.headers["Content-Type"] == "image/svg+xml"
        assert picture.content.startswith(b"<svg ")
    for address in ("/", "/docs/cli", "/docs/sdk"):
        assert b'<link rel="icon" href="data:image/svg+xml,' in browser.get(address).content


@pytest.mark.django_db
def test_the_admin_has_our_picture_and_leads_home(browser: Client) -> None:
    assert b'<link rel="icon" href="data:image/svg+xml,' in browser.get("/admin/login/").content
