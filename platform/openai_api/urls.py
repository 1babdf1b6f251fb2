"""Every address of the OpenAI-compatible API, below `/v1/`."""

from __future__ import annotations

from django.urls import path, re_path

from accounts.models import Scope
from openai_api import views
from openai_api.endpoint import endpoint

app_name = "openai_api"

urlpatterns = [
    path("models", endpoint(get=views.list_models)),
    path("models/<path:name>", endpoint(get=views.show_model)),
    path("completions", endpoint(post=views.completions, scope=Scope.SAMPLE)),
    path("chat/completions", endpoint(post=views.chat_completions, scope=Scope.SAMPLE)),
    re_path(
        "^(?P<address>.*)$",
        endpoint(
            get=views.nothing,
            post=views.nothing,
            put=views.nothing,
            patch=views.nothing,
            delete=views.nothing,
        ),
    ),
]
