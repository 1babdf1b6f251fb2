"""Users, teams, memberships and API keys. What must always hold is a constraint in SQL."""

from __future__ import annotations

from typing import Self

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import RegexValidator
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone


class User(AbstractUser):
    """A person who signs in with a browser."""

    class Meta(AbstractUser.Meta):
        constraints = [
            models.UniqueConstraint(
                Lower("email"), condition=~Q(email=""), name="accounts_user_email_unique"
            ),
        ]


class Team(models.Model):
    """Whom keys, sessions, runs and checkpoints belong to."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60, unique=True)
    members = models.ManyToManyField(User, through="Membership", related_name="teams")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    capture_tokens = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Keep tokens and logprobs of what its runs train on, for pages. Numbers are "
        "kept in any case.",
    )

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="accounts_team_has_name"),
            models.CheckConstraint(
                condition=Q(slug__regex=r"^[a-z0-9]+(-[a-z0-9]+)*$"), name="accounts_team_slug_form"
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TeamQuerySet(models.QuerySet):
    """Rows that belong to teams."""

    def for_team(self, team: Team) -> Self:
        """Only this team's rows."""
        return self.filter(team=team)


class Role(models.TextChoices):
    """What somebody may do in a team, from least to most; `accounts.rights` has the table."""

    VIEWER = "viewer"
    MEMBER = "member"
    ADMIN = "admin"
    OWNER = "owner"

    def covers(self, least: Role) -> bool:
        """Whether who has this role may do all that `least` may. Texts compare otherwise."""
        return _RANK[self] >= _RANK[least]


_RANK = {role: rank for rank, role in enumerate(Role)}


class Membership(models.Model):
    """A user's place in a team."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=10, choices=Role, default=Role.MEMBER)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["team", "user"], name="accounts_membership_once"),
            models.CheckConstraint(
                condition=Q(role__in=Role.values), name="accounts_membership_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} in {self.team} ({self.role})"


class Scope(models.TextChoices):
    """What a key may do."""

    TRAIN = "train"
    SAMPLE = "sample"


ALL_SCOPES = [scope.value for scope in Scope]


def all_scopes() -> list[str]:
    """Every scope: what a key gets unless told otherwise."""
    return list(ALL_SCOPES)


class ApiKeyQuerySet(TeamQuerySet):
    """Reads of API keys."""

    def usable(self) -> Self:
        """Keys neither revoked nor expired."""
        return self.filter(revoked_at=None).filter(
            Q(expires_at=None) | Q(expires_at__gt=timezone.now())
        )


class ApiKey(models.Model):
    """A team's credential for programs. Only the hash is kept: so random a text needs no salt."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="api_keys")
    user = models.ForeignKey(
        User,
        on_delete=models.CASCADE,
        related_name="api_keys",
        null=True,
        blank=True,
        help_text="Whose key it is: it has their role, whatever that is at the moment.",
    )
    # keys that a release without roles makes meanwhile are members, as those before it became
    role = models.CharField(
        max_length=10,
        choices=Role,
        default=Role.MEMBER,
        db_default=Role.MEMBER,
        null=True,
        help_text="What it may do in the team. None: it is somebody's, and has their role.",
    )
    name = models.CharField(max_length=100, help_text="What the key is for")
    prefix = models.CharField(max_length=8, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    sha256 = models.CharField(
        max_length=64, unique=True, editable=False, validators=[RegexValidator(r"^[0-9a-f]{64}$")]
    )
    scopes = ArrayField(models.CharField(max_length=20, choices=Scope), default=all_scopes)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True, editable=False)
    last_used_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ApiKeyQuerySet.as_manager()

    class Meta:
        verbose_name = "API key"
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="accounts_apikey_has_name"),
            models.CheckConstraint(
                condition=Q(sha256__regex=r"^[0-9a-f]{64}$"), name="accounts_apikey_sha256_form"
            ),
            models.CheckConstraint(
                condition=Q(scopes__contained_by=ALL_SCOPES) & Q(scopes__len__gte=1),
                name="accounts_apikey_known_scopes",
            ),
            models.CheckConstraint(
                condition=Q(user=None, role__in=Role.values, role__isnull=False)
                | Q(user__isnull=False, role=None),
                name="accounts_apikey_one_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.masked})"

    @property
    def masked(self) -> str:
        """Enough of the key to recognise it by."""
        return f"{self.prefix}…{self.last_four}"

    @property
    def state(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at:
            return "revoked"
        return "expired" if self.expires_at and self.expires_at <= timezone.now() else "active"
