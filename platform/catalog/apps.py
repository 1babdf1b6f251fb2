"""Registers the catalog with Django."""

from django.apps import AppConfig


class CatalogConfig(AppConfig):
    """Base models on offer."""

    name = "catalog"
