"""The addresses of the pages, below `/docs/`."""

from __future__ import annotations

from django.urls import path
from django.views.generic import RedirectView

from reference import views

app_name = "reference"

urlpatterns = [
    path("", RedirectView.as_view(url="api"), name="index"),
    path("api", views.show_api, name="api"),
    path("protobuf", views.show_protobuf, name="protobuf"),
    path("sdk", views.show_sdk, name="sdk"),
    path("cli", views.show_cli, name="cli"),
]
