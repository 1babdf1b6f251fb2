"""The addresses of the pages, below `/docs/`."""

from __future__ import annotations

from django.urls import path, re_path

from reference import views

app_name = "reference"

urlpatterns = [
    path("", views.show_index, name="index"),
    path("search.json", views.show_search, name="search"),
    re_path(r"^files/([\w./-]+)$", views.show_picture, name="picture"),
    re_path(r"^([\w-]+)\.md$", views.show_markdown, name="markdown"),
    re_path(r"^([\w-]+)\.py$", views.show_script, name="script"),
    re_path(r"^([\w-]+)$", views.show_page, name="page"),
]
