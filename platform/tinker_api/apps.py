"""Registers the wire protocol with Django."""

from __future__ import annotations

from django.apps import AppConfig


class TinkerApiConfig(AppConfig):
    """Views only: this app has no tables."""

    name = "tinker_api"
    verbose_name = "Tinker API"
