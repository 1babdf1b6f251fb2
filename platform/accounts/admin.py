"""Django admin for users, teams and API keys. A new key is shown on the page that made it, once."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin as DjangoUserAdmin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from accounts import services
from accounts.models import ApiKey, Membership, Scope, Team, User


def _person(request: HttpRequest) -> User:
    """Whoever is signed in: the admin lets nobody else in."""
    assert isinstance(request.user, User)
    return request.user


class MembershipInline(admin.TabularInline):
    """A team's members, or a user's teams."""

    model = Membership
    extra = 0
    autocomplete_fields = ["user", "team"]


@admin.register(User)
class UserAdmin(DjangoUserAdmin):
    """People."""

    inlines = [MembershipInline]


@admin.register(Team)
class TeamAdmin(admin.ModelAdmin):
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
        fields = ["team", "name", "scopes", "expires_at"]


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):
    """API keys: made, renamed and revoked; never read again."""

    form = ApiKeyForm
    list_display = ["name", "team", "masked", "state", "created_at", "last_used_at", "expires_at"]
    list_filter = ["team"]
    list_select_related = ["team"]
    search_fields = ["name", "team__name", "last_four"]
    autocomplete_fields = ["team"]
    readonly_fields = ["masked", "state", "created_at", "last_used_at", "revoked_at"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[Any]:
        """Nothing to show of a key that is not there yet."""
        chosen = ["team", "name", "scopes", "expires_at"]
        return [*chosen, *self.readonly_fields] if obj else chosen

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> list[str]:
        """A key stays with its team."""
        return [*self.readonly_fields, "team"] if obj else []

    def save_model(
        self, request: HttpRequest, obj: ApiKey, form: forms.ModelForm, change: bool
    ) -> None:
        """Make new keys through the service and hold their text until the answer is rendered."""
        if change:
            super().save_model(request, obj, form, change)
            return
        new = services.create_api_key(
            team=obj.team,
            name=obj.name,
            scopes=obj.scopes,
            expires_at=obj.expires_at,
            by=_person(request),
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
        for key in queryset.filter(revoked_at=None).order_by("pk"):
            services.revoke_api_key(key=key, by=_person(request))
            count += 1
        self.message_user(request, f"{count} API key(s) revoked.", messages.SUCCESS)
