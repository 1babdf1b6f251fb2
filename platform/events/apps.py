"""Registers events with Django."""

from __future__ import annotations

from django.apps import AppConfig


class EventsConfig(AppConfig):
    """What has happened."""

    name = "events"
