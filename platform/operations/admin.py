"""Django admin for workers: who serves which models, and why not others; read, never written."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from operations.models import Worker

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Worker]
else:
    _Admin = admin.ModelAdmin


@admin.register(Worker)
class WorkerAdmin(_Admin):
    """Workers, those alive first."""

    list_display = ["host", "pool", "pid", "alive", "models_served", "troubles", "started_at"]
    list_display_links = None
    list_filter = ["pool"]
    ordering = ["-alive_until"]

    @admin.display(boolean=True)
    def alive(self, worker: Worker) -> bool:
        """Whether it has renewed its lease."""
        return worker.alive_until > timezone.now()

    @admin.display
    def troubles(self, worker: Worker) -> str:
        """Which models it could not load, and why."""
        found = {
            name: numbers["not_loaded"]
            for name, numbers in worker.report.items()
            if "not_loaded" in numbers
        }
        return json.dumps(found) if found else ""

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody may."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody may."""
        return False
