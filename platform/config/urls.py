"""Every address this server answers to."""

from django.contrib import admin
from django.urls import include, path

from accounts import views as accounts
from console_api import pages
from core import views
from reference import views as reference

admin.site.site_header = "Tinsmith"
admin.site.site_title = "Tinsmith admin"
admin.site.index_title = "Administration"

handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.page_not_found
handler500 = views.server_error

# which page it is to be, the dashboard finds out itself (frontend/src/app.tsx)
DASHBOARD = [
    "sign-in",
    "runs",
    "runs/<path:rest>",
    "checkpoints",
    "checkpoints/<path:rest>",
    "compare",
    "sessions",
    "sessions/<path:rest>",
    "team/usage",
    "cluster",
    "training_runs/<path:rest>",
]

urlpatterns = [
    path("api/v1/openapi.json", reference.openapi),
    path("api/v1/", include("tinker_api.urls")),
    path("v1/", include("openai_api.urls")),
    path("api/console/", include("console_api.urls")),
    path("", pages.home),
    *(path(address, pages.dashboard) for address in DASHBOARD),
    path("sign-in/once/<str:token>", accounts.sign_in_by_link),
    path("docs/", include("reference.urls")),
    path("llms.txt", reference.show_llms),
    path("llms-full.txt", reference.show_llms_full),
    path("admin/login/", accounts.sign_in),
    path("favicon.svg", views.favicon),
    path("favicon.ico", views.favicon),
    path("admin/", admin.site.urls),
]
