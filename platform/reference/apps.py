"""Registers the reference pages with Django."""

from __future__ import annotations

from django.apps import AppConfig


class ReferenceConfig(AppConfig):
    """Views only: this app has no tables."""

    name = "reference"
    verbose_name = "Reference"
