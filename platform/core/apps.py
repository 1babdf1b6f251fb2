"""Django's handle on the core app."""

from django.apps import AppConfig


class CoreConfig(AppConfig):
    """Ids, errors, the database pool, the notification hub, embedded services."""

    name = "core"
    default_auto_field = "django.db.models.BigAutoField"
