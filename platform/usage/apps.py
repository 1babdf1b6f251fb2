"""Registers the ledger with Django."""

from __future__ import annotations

from django.apps import AppConfig


class UsageConfig(AppConfig):
    """What teams have used."""

    name = "usage"
