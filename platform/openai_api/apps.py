"""Registers the OpenAI-compatible API with Django."""

from __future__ import annotations

from django.apps import AppConfig


class OpenaiApiConfig(AppConfig):
    """Views only: this app has no tables."""

    name = "openai_api"
    verbose_name = "OpenAI-compatible API"
