"""Django admin: every list opens, a new key is shown once and never kept."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin import site
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts import services
from accounts.models import ApiKey, Team, User

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff() -> Client:
    """The browser of an administrator."""
    client = Client()
    client.force_login(User.objects.create_superuser("root", password="x"))
    return client


@pytest.fixture
def team() -> Team:
    """A team."""
    return services.create_team(name="Smiths")


def test_every_list_and_form_opens(staff: Client, team: Team) -> None:
    services.create_api_key(team=team, name="ci")
    for model, model_admin in site._registry.items():
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert staff.get(reverse(f"{name}_changelist")).status_code == 200
        adding = staff.get(reverse(f"{name}_add"))
        request = adding.wsgi_request
        assert adding.status_code == (200 if model_admin.has_add_permission(request) else 403)
    for model in (Team, ApiKey, User):
        name = f"admin:accounts_{model._meta.model_name}_change"
        pk = model._default_manager.values_list("pk", flat=True)[0]
        assert staff.get(reverse(name, args=[pk])).status_code == 200


def test_a_new_key_is_shown_on_the_answer_and_nowhere_else(staff: Client, team: Team) -> None:
    answer = staff.post(
        reverse("admin:accounts_apikey_add"),
        {"team": team.pk, "name": "ci", "scopes": ["train", "sample"]},
    )
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    (text,) = set(re.findall(r"tml-[\w-]{43}", answer.content.decode()))
    key = ApiKey.objects.get()
    assert (key.name, key.team, key.sha256) == ("ci", team, services.hash_key(text))
    assert text not in str(answer.cookies)
    assert all(text not in str(session.get_decoded()) for session in Session.objects.all())
    for address in ("changelist", "change"):
        args = [key.pk] if address == "change" else []
        page = staff.get(reverse(f"admin:accounts_apikey_{address}", args=args)).content.decode()
        assert key.masked in page
        assert text not in page


def test_a_key_without_scopes_is_not_made(staff: Client, team: Team) -> None:
    answer = staff.post(reverse("admin:accounts_apikey_add"), {"team": team.pk, "name": "ci"})
    assert b"This field is required" in answer.content
    assert not ApiKey.objects.exists()


def test_a_key_may_be_renamed_but_keeps_its_team(staff: Client, team: Team) -> None:
    key = services.create_api_key(team=team, name="ci").key
    other = services.create_team(name="Other")
    address = reverse("admin:accounts_apikey_change", args=[key.pk])
    staff.post(address, {"team": other.pk, "name": "cd", "scopes": ["sample"]})
    changed = ApiKey.objects.get()
    assert (changed.name, changed.team, changed.scopes) == ("cd", team, ["sample"])
    assert changed.sha256 == key.sha256


def test_chosen_keys_are_revoked(staff: Client, team: Team) -> None:
    chosen, spared = (services.create_api_key(team=team, name=name).key for name in "ab")
    staff.post(
        reverse("admin:accounts_apikey_changelist"),
        {"action": "revoke", "_selected_action": [chosen.pk]},
    )
    chosen.refresh_from_db()
    spared.refresh_from_db()
    assert (chosen.state, spared.state) == ("revoked", "active")


def test_others_are_sent_to_the_login(team: Team) -> None:
    client = Client()
    client.force_login(User.objects.create_user("member"))
    for name in ("accounts_apikey_changelist", "accounts_apikey_add", "catalog_basemodel_add"):
        answer = client.get(reverse(f"admin:{name}"))
        assert answer.status_code == 302
        assert answer["Location"].startswith("/admin/login/")
    client.post(reverse("admin:accounts_apikey_add"), {"team": team.pk, "name": "ci"})
    assert not ApiKey.objects.exists()
