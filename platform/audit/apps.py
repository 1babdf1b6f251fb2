"""Registers the audit log with Django."""

from __future__ import annotations

from django.apps import AppConfig


class AuditConfig(AppConfig):
    """Who did what."""

    name = "audit"
