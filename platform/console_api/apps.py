"""The app's entry in Django's registry."""

from django.apps import AppConfig


class ConsoleApiConfig(AppConfig):
    """No tables: it shows those of other apps."""

    name = "console_api"
