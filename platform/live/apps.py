"""Registers the live socket with Django."""

from __future__ import annotations

from django.apps import AppConfig


class LiveConfig(AppConfig):
    """What pages are told while they are open."""

    name = "live"
