"""Which web pages may call the APIs from a browser: those of TINSMITH_CORS_ORIGINS, else none.

Keys come in headers and no cookie counts there, so a page can do no more than the key it was given.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from starlette.middleware.cors import CORSMiddleware

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
# what else than the few usual headers a page's script may read
SHOWN = ["Accept-Ranges", "Content-Disposition", "Content-Range", "ETag", "Retry-After"]
# by it clients count their ordered requests (operations/order.py)
SHOWN += ["X-Tinsmith-Sequence"]
REMEMBERED_S = 600


def allow(app: Any) -> Any:
    """An ASGI application that answers browsers' questions before it, if any origin is allowed."""
    if not settings.CORS_ORIGINS:
        return app
    return CORSMiddleware(
        app,
        allow_origins=settings.CORS_ORIGINS,
        allow_methods=METHODS,
        allow_headers=["*"],
        expose_headers=SHOWN,
        max_age=REMEMBERED_S,
    )
