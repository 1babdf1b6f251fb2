"""Who may give which role, and make which keys: the services ask, and a refusal changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from asgiref.sync import sync_to_async
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction

from accounts import actors, keys, services
from accounts.actors import Actor, Forbidden
from accounts.models import ApiKey, Membership, Role, Team, User
from audit.models import Entry
from core import database
from core.errors import Conflict, NotFound

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def team() -> Team:
    """A team with somebody of each role, named for it, and a second owner."""
    made = services.create_team(name="Smiths", owner=User.objects.create_user("founder"))
    for role in Role:
        services.set_role(team=made, user=User.objects.create_user(role.value), role=role)
    User.objects.create_user("new")
    return made


def person(name: str) -> User:
    """A user of the fixture."""
    return User.objects.get(username=name)


def acting(name: str) -> Actor:
    """A person of the team."""
    return actors.of_member(user=person(name), team_slug="smiths")


def state() -> tuple[list[object], ...]:
    """Everything that roles and keys are written in."""
    kept = ("pk", "user_id", "role", "revoked_at")
    return (
        list(Membership.objects.order_by("pk").values_list("pk", "user_id", "role")),
        list(ApiKey.objects.order_by("pk").values_list(*kept)),
        list(Entry.objects.order_by("pk").values_list("pk")),
    )


Refusing = Callable[..., AbstractContextManager[object]]


@pytest.fixture
def refusing() -> Refusing:
    """`pytest.raises`, for what must have changed nothing."""

    class Watched:
        def __init__(self, error: type[Exception], match: str) -> None:
            self.raises = pytest.raises(error, match=match)

        def __enter__(self) -> None:
            self.before = state()
            self.raises.__enter__()

        def __exit__(self, *error: object) -> bool:
            refused = self.raises.__exit__(*error)  # type: ignore[arg-type]
            assert state() == self.before
            return refused

    return Watched  # type: ignore[return-value]


def test_admins_add_change_and_remove_members_and_viewers(team: Team) -> None:
    by = acting("admin")
    services.set_role(team=team, user=person("new"), role=Role.VIEWER, by=by)
    services.set_role(team=team, user=person("new"), role=Role.MEMBER, by=by)
    services.remove_member(team=team, user=person("new"), by=by)
    told = Entry.objects.filter(user_id=by.user_id).order_by("id")
    assert [(entry.event, entry.target, entry.details) for entry in told] == [
        ("membership.added", "new", {"role": "viewer"}),
        ("membership.role_changed", "new", {"before": "viewer", "role": "member"}),
        ("membership.removed", "new", {"before": "member"}),
    ]


def test_owners_alone_give_and_take_the_high_roles(team: Team, refusing: Refusing) -> None:
    owner, admin, needs_owner = acting("owner"), acting("admin"), "takes the role owner to add"
    services.set_role(team=team, user=person("new"), role=Role.ADMIN, by=owner)
    for name, role in (("member", Role.ADMIN), ("new", Role.MEMBER), ("owner", Role.VIEWER)):
        with refusing(Forbidden, f"{needs_owner}.*; yours is admin"):
            services.set_role(team=team, user=person(name), role=role, by=admin)
    with refusing(Forbidden, needs_owner):
        services.remove_member(team=team, user=person("new"), by=admin)
    services.set_role(team=team, user=person("new"), role=Role.OWNER, by=owner)
    services.set_role(team=team, user=person("new"), role=Role.VIEWER, by=owner)


@pytest.mark.parametrize("name", ["viewer", "member"])
def test_others_manage_nobody(team: Team, refusing: Refusing, name: str) -> None:
    by, words = acting(name), f"takes the role admin, or a higher one, to add.*; yours is {name}"
    for user, role in (("new", Role.VIEWER), (name, Role.VIEWER), ("viewer", Role.MEMBER)):
        if user == name and role == name:
            continue
        with refusing(Forbidden, words):
            services.set_role(team=team, user=person(user), role=role, by=by)
    with refusing(Forbidden, words):
        services.remove_member(team=team, user=person("viewer"), by=by)


def test_an_owner_of_another_team_finds_nothing(team: Team, refusing: Refusing) -> None:
    other = services.create_team(name="Potters", owner=person("new"))
    by = actors.of_member(user=person("new"), team_slug="potters")
    key = services.create_api_key(team=team, name="k").key
    for verb, arguments in (
        (services.set_role, {"team": team, "user": person("new"), "role": Role.VIEWER}),
        (services.remove_member, {"team": team, "user": person("viewer")}),
        (services.create_api_key, {"team": team, "name": "x"}),
        (services.create_api_key, {"team": team, "name": "x", "user": person("new")}),
        (services.set_api_key_role, {"key": key, "role": Role.VIEWER}),
        (services.revoke_api_key, {"key": key}),
    ):
        with refusing(NotFound, "in your team"):
            verb(**arguments, by=by)
    assert other.memberships.count() == 1


def test_a_team_keeps_an_owner(team: Team, refusing: Refusing) -> None:
    services.remove_member(team=team, user=person("founder"), by=acting("owner"))
    by = acting("owner")
    with refusing(Conflict, "owner is the only owner of smiths"):
        services.set_role(team=team, user=person("owner"), role=Role.ADMIN, by=by)
    with refusing(Conflict, "owner is the only owner of smiths"):
        services.remove_member(team=team, user=person("owner"), by=by)


def test_who_has_the_role_already_changes_nothing(team: Team) -> None:
    before = state()
    services.set_role(team=team, user=person("admin"), role=Role.ADMIN, by=acting("viewer"))
    assert state() == before


def test_who_leaves_the_team_leaves_no_key(team: Team) -> None:
    own = services.create_api_key(team=team, name="own", user=person("member")).key
    teams = services.create_api_key(team=team, name="team's").key
    services.remove_member(team=team, user=person("member"), by=acting("admin"))
    states = {key.pk: key.state for key in ApiKey.objects.all()}
    assert states == {own.pk: "revoked", teams.pk: "active"}
    revoked = Entry.objects.get(event="api_key.revoked")
    assert (revoked.target, revoked.user_id) == (str(own.pk), person("admin").pk)


def test_members_make_and_revoke_keys_of_their_own(team: Team, refusing: Refusing) -> None:
    by = acting("member")
    key = services.create_api_key(team=team, name="own", user=person("member"), by=by).key
    assert (key.user, key.role) == (person("member"), None)
    teams = services.create_api_key(team=team, name="team's").key
    for name in ("viewer", "owner"):
        with refusing(Forbidden, "made by that person alone"):
            services.create_api_key(team=team, name="x", user=person(name), by=by)
    with refusing(Forbidden, r"admin, or a higher one, to make an API key of the team's"):
        services.create_api_key(team=team, name="x", by=by)
    with refusing(Forbidden, "to revoke an API key; yours is member"):
        services.revoke_api_key(key=teams, by=by)
    with refusing(Forbidden, "to give an API key another role; yours is member"):
        services.set_api_key_role(key=teams, role=Role.VIEWER, by=by)
    services.revoke_api_key(key=key, by=by)
    assert key.state == "revoked"


def test_viewers_make_no_keys_and_may_end_their_own(team: Team, refusing: Refusing) -> None:
    key = services.create_api_key(team=team, name="own", user=person("viewer")).key
    with refusing(Forbidden, "to make an API key of one's own; yours is viewer"):
        services.create_api_key(team=team, name="x", user=person("viewer"), by=acting("viewer"))
    services.revoke_api_key(key=key, by=acting("viewer"))
    assert key.state == "revoked"


def test_no_key_gets_more_than_its_makers_role(team: Team, refusing: Refusing) -> None:
    by = acting("admin")
    key = services.create_api_key(team=team, name="a", role=Role.ADMIN, by=by).key
    highest = services.create_api_key(team=team, name="o", role=Role.OWNER, by=acting("owner")).key
    with refusing(Forbidden, "your role, admin, cannot give an API key the role owner"):
        services.create_api_key(team=team, name="x", role=Role.OWNER, by=by)
    for changed, role in ((key, Role.OWNER), (highest, Role.VIEWER)):
        with refusing(Forbidden, "your role, admin, cannot give"):
            services.set_api_key_role(key=changed, role=role, by=by)
    services.set_api_key_role(key=key, role=Role.VIEWER, by=by)
    assert ApiKey.objects.get(pk=key.pk).role == key.role == "viewer"
    entry = Entry.objects.get(event="api_key.role_changed")
    assert (entry.user_id, entry.details) == (by.user_id, {"before": "admin", "role": "viewer"})


def test_a_persons_key_has_no_role_of_its_own(team: Team, refusing: Refusing) -> None:
    key = services.create_api_key(team=team, name="own", user=person("member")).key
    with refusing(ValueError, "that person's role"):
        services.set_api_key_role(key=key, role=Role.VIEWER)
    with refusing(ValueError, "that person's role"):
        services.create_api_key(team=team, name="x", user=person("member"), role=Role.VIEWER)
    with refusing(ValueError, "new is not in the team smiths"):
        services.create_api_key(team=team, name="x", user=person("new"))
    for wrong in ({"role": "member"}, {"user": None}, {"role": "king", "user": None}):
        with refusing(IntegrityError, "accounts_apikey_one_role"), transaction.atomic():
            ApiKey.objects.filter(pk=key.pk).update(**wrong)


async def test_a_persons_key_does_what_they_may_at_the_moment(team: Team) -> None:
    keys.forget()
    user = await sync_to_async(person)("member")
    new = await sync_to_async(services.create_api_key)(team=team, name="own", user=user)
    try:
        for role in Role:
            await sync_to_async(services.set_role)(team=team, user=user, role=role)
            keys.forget()
            actor = await keys.authenticate(new.text)
            assert (actor.role, actor.user_id, actor.key_id) == (role, user.pk, new.key.pk)
    finally:
        keys.forget()
        await database.shutdown()


def test_commands_give_roles_and_keys(team: Team, capsys: pytest.CaptureFixture[str]) -> None:
    call_command("set_role", "smiths", "new", "admin")
    assert Membership.objects.get(user=person("new")).role == "admin"
    call_command("set_role", "smiths", "new", "none")
    assert not Membership.objects.filter(user=person("new")).exists()
    entry = Entry.objects.filter(target="new").latest("id")
    assert (entry.event, entry.user_id, entry.key_id) == ("membership.removed", None, None)
    for arguments, words in (
        (("red", "new", "admin"), "no team 'red'; there are: smiths"),
        (("smiths", "who", "admin"), "no user 'who'"),
        (("smiths", "new", "none"), "new is not in the team smiths"),
        (("smiths", "new", "king"), "invalid choice: 'king'"),
    ):
        with pytest.raises(CommandError, match=words):
            call_command("set_role", *arguments)
    capsys.readouterr()
    call_command("create_api_key", "smiths", "reads", "--role", "viewer")
    call_command("create_api_key", "smiths", "own", "--user", "member")
    texts = capsys.readouterr().out.split()
    made = [ApiKey.objects.get(sha256=services.hash_key(text)) for text in texts]
    assert [(key.role, key.user) for key in made] == [("viewer", None), (None, person("member"))]
