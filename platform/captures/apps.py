"""Registers captures with Django."""

from __future__ import annotations

from django.apps import AppConfig


class CapturesConfig(AppConfig):
    """What was captured of runs."""

    name = "captures"
