"""The table of rights: whole, in order, said in words, and written down in docs/roles.md."""

from __future__ import annotations

import itertools
import re

import pytest

from accounts import rights
from accounts.actors import Actor, Forbidden
from accounts.models import Role
from accounts.rights import LEAST, Right
from tests.conftest import REPOSITORY


def test_every_right_has_its_least_role() -> None:
    assert set(LEAST) == set(Right)


def test_a_role_covers_those_below_it() -> None:
    assert [role.value for role in Role] == ["viewer", "member", "admin", "owner"]
    for (low, below), (high, above) in itertools.product(enumerate(Role), repeat=2):
        assert above.covers(below) == (high >= low)


@pytest.mark.parametrize("right", Right)
@pytest.mark.parametrize("role", Role)
def test_who_has_too_low_a_role_is_refused_with_both_roles(role: Role, right: Right) -> None:
    actor = Actor(1, "Smiths", role=role)
    assert rights.may(actor, right) == role.covers(LEAST[right])
    if rights.may(actor, right):
        rights.require(actor, right)
        return
    with pytest.raises(
        Forbidden, match=f"takes the role {LEAST[right]}.* to {right}; yours is {role}"
    ):
        rights.require(actor, right)


def test_a_key_is_told_that_it_is_the_keys_role() -> None:
    actor = Actor(1, "Smiths", key_id=7)
    with pytest.raises(Forbidden, match="this API key's is viewer"):
        rights.require(actor, Right.SAMPLE)


def test_who_is_not_known_to_have_more_may_only_read() -> None:
    assert Actor(1, "Smiths").role == Role.VIEWER


def test_the_page_has_the_same_table() -> None:
    page = (REPOSITORY / "docs" / "roles.md").read_text()
    told = dict(re.findall(r"^\| ([^|]+?) \| (viewer|member|admin|owner) \|$", page, re.MULTILINE))
    assert told == {str(right): str(least) for right, least in LEAST.items()}
