"""Who gets in after a first start: a team, an administrator and an API key, and how they are kept.

The key's and password's text stand in the data folder's credentials.json (mode 0600), so that every
start can hand them out again; the database holds hashes.
"""

from __future__ import annotations

import secrets
from dataclasses import asdict, dataclass
from typing import Any

from accounts import services
from accounts.models import ApiKey, Role, Team, User
from core.embedded import DataFolder

FILE = "credentials.json"
TEAM = "default"
USERNAME = "admin"
KEY_NAME = "manage.py up"


@dataclass(frozen=True)
class Access:
    """How to get in. No password: somebody changed it, and only they know it."""

    api_key: str
    admin_username: str
    admin_password: str | None


def ensure(folder: DataFolder, *, own_database: bool) -> Access:
    """The access of earlier starts where it still works, else new: key rotated, password reset.

    In a database that is not the folder's own (DATABASE_URL) an existing password is left alone.
    """
    kept = folder.read(FILE)
    team = Team.objects.filter(slug=TEAM).first() or services.create_team(name=TEAM)
    admin, password = _ensure_admin(kept, may_reset=own_database or "admin_username" in kept)
    services.set_role(team=team, user=admin, role=Role.OWNER)
    access = Access(_ensure_key(team, kept), admin.username, password)
    if asdict(access) != kept:
        folder.write(FILE, asdict(access))
    return access


def _ensure_key(team: Team, kept: dict[str, Any]) -> str:
    text = str(kept.get("api_key", ""))
    if ApiKey.objects.usable().filter(sha256=services.hash_key(text)).exists():
        return text
    return services.create_api_key(team=team, name=KEY_NAME).text


def _ensure_admin(kept: dict[str, Any], *, may_reset: bool) -> tuple[User, str | None]:
    username = str(kept.get("admin_username") or USERNAME)
    password = kept.get("admin_password")
    admin = User.objects.filter(username=username).first()
    if admin is not None:
        if password and admin.check_password(password):
            return admin, password
        if "admin_username" in kept or not may_reset:
            return admin, None
    fresh = secrets.token_urlsafe(12)
    if admin is None:
        return User.objects.create_superuser(username, password=fresh), fresh
    admin.set_password(fresh)
    admin.save(update_fields=["password"])
    return admin, fresh
