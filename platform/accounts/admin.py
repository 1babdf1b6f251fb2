"""Django admin for users, teams and API keys. A new key is shown on the page that made it, once.

What is done to memberships and roles goes through the services, so that it is audited.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Count, Q, QuerySet
from django.forms.models import BaseModelFormSet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import actors, services
from accounts.actors import Actor
from accounts.models import ApiKey, Membership, Role, Scope, Team, User
from core.errors import Conflict


def _acting(request: HttpRequest, team: Team) -> Actor:
    """Whoever is signed in, acting for a team: the admin lets nobody but administrators in."""
    assert isinstance(request.user, User)
    return actors.of_administrator(user=request.user, team=team)


class MembershipInline(admin.TabularInline):
    """A team's members, or a user's teams."""

    model = Membership
    extra = 0
    autocomplete_fields = ["user", "team"]


class WithMembers(admin.ModelAdmin):
    """A page with memberships on it."""

    def save_formset(
        self, request: HttpRequest, form: forms.ModelForm, formset: BaseModelFormSet, change: bool
    ) -> None:
        """Add, change and remove memberships through the services; owners are made first."""
        if formset.model is not Membership:
            super().save_formset(request, form, formset, change)
            return
        given = formset.save(commit=False)
        kept = {row.pk: row for row in Membership.objects.filter(pk__in=[m.pk for m in given])}
        moved = [kept[row.pk] for row in given if row.pk and not _same_place(row, kept[row.pk])]
        for row in sorted(given, key=lambda row: row.role != Role.OWNER):
            self._try(request, services.set_role, row, role=Role(row.role))
        for row in [*moved, *formset.deleted_objects]:
            self._try(request, services.remove_member, row)

    def _try(
        self, request: HttpRequest, verb: Callable[..., Any], row: Membership, **more: Role
    ) -> None:
        try:
            verb(team=row.team, user=row.user, by=_acting(request, row.team), **more)
        except Conflict as error:
            self.message_user(request, error.detail, messages.ERROR)


def _same_place(row: Membership, kept: Membership) -> bool:
    return (row.team_id, row.user_id) == (kept.team_id, kept.user_id)


@admin.register(User)
class UserAdmin(WithMembers, DjangoUserAdmin):
    """People."""

    inlines = [MembershipInline]


@admin.register(Team)
class TeamAdmin(WithMembers):
    """Teams and who is in them."""

    list_display = ["name", "slug", "member_count", "key_count", "created_at"]
    search_fields = ["name", "slug"]
    prepopulated_fields = {"slug": ["name"]}
    readonly_fields = ["created_at"]
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Team]:
        """Teams with the counts that the list shows."""
        usable = Q(api_keys__in=ApiKey.objects.usable())
        return (
            super()
            .get_queryset(request)
            .annotate(
                members_counted=Count("memberships", distinct=True),
                keys_counted=Count("api_keys", filter=usable, distinct=True),
            )
        )

    @admin.display(description="members", ordering="members_counted")
    def member_count(self, team: Team) -> int:
        """How many are in it."""
        return team.members_counted  # type: ignore[attr-defined]

    @admin.display(description="active keys", ordering="keys_counted")
    def key_count(self, team: Team) -> int:
        """How many keys work."""
        return team.keys_counted  # type: ignore[attr-defined]


class ApiKeyForm(forms.ModelForm):
    """Scopes as checkboxes."""

    scopes = forms.MultipleChoiceField(
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=[scope.value for scope in Scope],
    )

    class Meta:
        model = ApiKey
        fields = ["team", "name", "role", "scopes", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """API keys: made, renamed and revoked; never read again."""

    form = ApiKeyForm
    list_display = [
        "name", "team", "role", "user", "masked", "state", "created_at", "last_used_at",
        "expires_at",
    ]  # fmt: skip
    list_filter = ["role", "team"]
    list_select_related = ["team", "user"]
    search_fields = ["name", "team__name", "last_four"]
    autocomplete_fields = ["team"]
    readonly_fields = ["masked", "state", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        """Nothing to show of a key that is not there yet."""
        chosen = ["team", "name", "role", "scopes", "expires_at"]
        return [*chosen, "user", *self.readonly_fields] if obj else chosen

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """A key stays with its team and its person; who has a person's role has none to change."""
        fixed = ["team", "user", *(["role"] if obj and obj.role is None else [])]
        return [*self.readonly_fields, *fixed] if obj else []

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool
    ) -> None:
        """Make new keys through the service and hold their text until the answer is rendered."""
        by = _acting(request, obj.team)
        if change:
            if "role" in form.changed_data:
                services.set_api_key_role(key=obj, role=Role(form.cleaned_data["role"]), by=by)
            super().save_model(request, obj, form, change)
            return
        new = services.create_api_key(
            team=obj.team,
            name=obj.name,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            role=Role(form.cleaned_data["role"]),
            by=by,
        )
        obj.pk = new.key.pk
        obj.__dict__.update(new.key.__dict__)
        request.new_key_text = new.text  # type: ignore[attr-defined]

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the key on the answer itself: a message would pass through a cookie."""
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "key": obj,
            "text": request.new_key_text,  # type: ignore[attr-defined]
        }
        response = TemplateResponse(request, "accounts/api_key_created.html", context)
        response["Cache-Control"] = "no-store"
        return response

    @admin.action(description="Revoke selected API keys")
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> None:
        """Revoke the chosen keys."""
        count = 0
        for key in queryset.filter(revoked_at=None).select_related("team").order_by("pk"):
            services.revoke_api_key(key=key, by=_acting(request, key.team))
            count += 1
        self.message_user(request, f"{count} API key(s) revoked.", messages.SUCCESS)
