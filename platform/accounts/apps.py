"""Registers accounts with Django."""

from django.apps import AppConfig


class AccountsConfig(AppConfig):
    """Users, teams, memberships, API keys."""

    name = "accounts"
