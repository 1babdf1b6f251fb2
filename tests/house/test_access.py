"""What a start makes for its operator: kept over starts, made anew where it no longer works."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from accounts.models import ApiKey, Membership, Team, User
from accounts.services import create_team, hash_key, revoke_api_key
from config.standalone.access import FILE, ensure
from core.embedded import DataFolder

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path) -> DataFolder:
    """A data folder without servers."""
    return DataFolder(tmp_path)


def test_a_first_start_makes_team_administrator_and_key(folder: DataFolder) -> None:
    access = ensure(folder, own_database=True)
    admin = User.objects.get()
    assert admin.is_superuser
    assert admin.check_password(access.admin_password or "")
    assert Membership.objects.get().role == "owner"
    assert ApiKey.objects.usable().get().sha256 == hash_key(access.api_key)
    assert stat.S_IMODE((folder.path / FILE).stat().st_mode) == 0o600


def test_the_next_start_keeps_them(folder: DataFolder) -> None:
    first = ensure(folder, own_database=True)
    assert ensure(folder, own_database=True) == first
    assert (User.objects.count(), Team.objects.count(), ApiKey.objects.count()) == (1, 1, 1)


def test_a_revoked_key_is_replaced(folder: DataFolder) -> None:
    first = ensure(folder, own_database=True)
    revoke_api_key(key=ApiKey.objects.get())
    second = ensure(folder, own_database=True)
    assert second.api_key != first.api_key
    assert second.admin_password == first.admin_password
    assert ensure(folder, own_database=True) == second


def test_a_changed_password_is_left_alone_and_no_longer_told(folder: DataFolder) -> None:
    ensure(folder, own_database=True)
    admin = User.objects.get()
    admin.set_password("of my own choice")
    admin.save()
    for _ in range(2):
        assert ensure(folder, own_database=True).admin_password is None
    admin.refresh_from_db()
    assert admin.check_password("of my own choice")


def test_lost_credentials_are_made_anew_in_the_folders_own_database(folder: DataFolder) -> None:
    first = ensure(folder, own_database=True)
    folder.remove(FILE)
    second = ensure(folder, own_database=True)
    assert second.api_key != first.api_key
    assert User.objects.get().check_password(second.admin_password or "")


def test_somebody_elses_administrator_keeps_the_password(folder: DataFolder) -> None:
    User.objects.create_superuser("admin", password="theirs")
    create_team(name="default")
    access = ensure(folder, own_database=False)
    assert (access.admin_username, access.admin_password) == ("admin", None)
    assert User.objects.get().check_password("theirs")
    assert ensure(folder, own_database=False) == access
