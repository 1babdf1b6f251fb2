"""The pages that belong to no app: the front page."""

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def front_page(request: HttpRequest) -> HttpResponse:
    """Say what this server is and how to use it."""
    url = settings.PUBLIC_URL or f"{request.scheme}://{request.get_host()}"
    return render(request, "index.html", {"url": url})
