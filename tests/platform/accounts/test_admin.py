"""Django admin: every list opens, a new key is shown once and never kept."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin import site
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse

from accounts import services
from accounts.models import ApiKey, Role, Team, User
from audit.models import Entry

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
        {"team": team.pk, "name": "ci", "role": "viewer", "scopes": ["train", "sample"]},
    )
    assert answer.status_code == 200
    assert "no-store" in answer["Cache-Control"]
    (text,) = set(re.findall(r"tml-[\w-]{43}", answer.content.decode()))
    key = ApiKey.objects.get()
    assert (key.name, key.team, key.role) == ("ci", team, "viewer")
    assert key.sha256 == services.hash_key(text)
    assert text not in str(answer.cookies)
    assert all(text not in str(session.get_decoded()) for session in Session.objects.all())
    for address in ("changelist", "change"):
        args = [key.pk] if address == "change" else []
        page = staff.get(reverse(f"admin:accounts_apikey_{address}", args=args)).content.decode()
        assert key.masked in page
        assert text not in page


def test_a_key_without_scopes_is_not_made(staff: Client, team: Team) -> None:
    answer = staff.post(
        reverse("admin:accounts_apikey_add"), {"team": team.pk, "name": "ci", "role": "member"}
    )
    assert b"This field is required" in answer.content
    assert not ApiKey.objects.exists()


def test_a_key_may_be_renamed_but_keeps_its_team(staff: Client, team: Team) -> None:
    key = services.create_api_key(team=team, name="ci").key
    other = services.create_team(name="Other")
    address = reverse("admin:accounts_apikey_change", args=[key.pk])
    staff.post(address, {"team": other.pk, "name": "cd", "role": "viewer", "scopes": ["sample"]})
    changed = ApiKey.objects.get()
    assert (changed.name, changed.team, changed.scopes) == ("cd", team, ["sample"])
    assert (changed.sha256, changed.role) == (key.sha256, "viewer")
    entry = Entry.objects.get(event="api_key.role_changed")
    assert (entry.target, entry.details) == (str(key.pk), {"before": "member", "role": "viewer"})


def test_a_persons_key_keeps_its_person_and_their_role(staff: Client, team: Team) -> None:
    ada, eve = (User.objects.create_user(name) for name in ("ada", "eve"))
    services.set_role(team=team, user=ada, role=Role.ADMIN)
    key = services.create_api_key(team=team, name="own", user=ada).key
    staff.post(
        reverse("admin:accounts_apikey_change", args=[key.pk]),
        {"name": "hers", "role": "owner", "user": eve.pk, "scopes": ["sample"]},
    )
    changed = ApiKey.objects.get()
    assert (changed.name, changed.user, changed.role) == ("hers", ada, None)


def memberships(team: Team, **rows: str) -> dict[str, object]:
    """A team's page filled in: what each user's role is to be; `-` takes them out."""
    there = {row.user.username: row for row in team.memberships.select_related("user")}
    ordered = sorted(rows, key=lambda name: name not in there)
    form: dict[str, object] = {
        "name": team.name,
        "slug": team.slug,
        "memberships-TOTAL_FORMS": len(rows),
        "memberships-INITIAL_FORMS": sum(name in there for name in rows),
    }
    for number, name in enumerate(ordered):
        row, place = there.get(name), f"memberships-{number}"
        form[f"{place}-user"] = User.objects.get(username=name).pk
        form[f"{place}-team"] = team.pk
        form[f"{place}-id"] = row.pk if row else ""
        form[f"{place}-role"] = row.role if row and rows[name] == "-" else rows[name]
        if rows[name] == "-":
            form[f"{place}-DELETE"] = "on"
    return form


def test_roles_are_given_and_taken_and_audited(staff: Client, team: Team) -> None:
    for name in ("ada", "bob", "cid"):
        User.objects.create_user(name)
    address = reverse("admin:accounts_team_change", args=[team.pk])
    staff.post(address, memberships(team, ada="owner", bob="viewer", cid="member"))
    staff.post(address, memberships(team, ada="member", bob="owner", cid="-"))
    assert dict(team.memberships.values_list("user__username", "role")) == {
        "ada": "member",
        "bob": "owner",
    }
    root = User.objects.get(username="root")
    found = Entry.objects.filter(event__startswith="membership.").order_by("id")
    assert {entry.user_id for entry in found} == {root.pk}
    assert [(entry.event, entry.target, entry.details) for entry in found] == [
        ("membership.added", "ada", {"role": "owner"}),
        ("membership.added", "bob", {"role": "viewer"}),
        ("membership.added", "cid", {"role": "member"}),
        ("membership.role_changed", "bob", {"before": "viewer", "role": "owner"}),
        ("membership.role_changed", "ada", {"before": "owner", "role": "member"}),
        ("membership.removed", "cid", {"before": "member"}),
    ]


def test_a_membership_that_goes_to_another_user_is_one_less_and_one_more(
    staff: Client, team: Team
) -> None:
    ada, bob = (User.objects.create_user(name) for name in ("ada", "bob"))
    services.set_role(team=team, user=ada, role=Role.OWNER)
    form = memberships(team, ada="owner") | {"memberships-0-user": bob.pk}
    staff.post(reverse("admin:accounts_team_change", args=[team.pk]), form)
    assert list(team.memberships.values_list("user__username", "role")) == [("bob", "owner")]
    assert Entry.objects.filter(event="membership.removed", target="ada").count() == 1


def test_the_last_owner_stays_one_and_the_page_says_why(staff: Client, team: Team) -> None:
    services.set_role(team=team, user=User.objects.create_user("ada"), role=Role.OWNER)
    address = reverse("admin:accounts_team_change", args=[team.pk])
    for wanted in ("-", "viewer"):
        answer = staff.post(address, memberships(team, ada=wanted), follow=True)
        told = [str(message) for message in answer.context["messages"]]
        assert told[0] == "ada is the only owner of smiths: make another first"
        assert team.memberships.get().role == "owner"


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
