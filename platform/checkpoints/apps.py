"""Django's configuration of the app."""

from django.apps import AppConfig


class CheckpointsConfig(AppConfig):
    """The checkpoints app."""

    name = "checkpoints"
