"""Every address this server answers to."""

from django.contrib import admin
from django.urls import include, path

from accounts import views as accounts
from core import views
from reference import views as reference

admin.site.site_header = "Tinsmith"
admin.site.site_title = "Tinsmith admin"
admin.site.index_title = "Administration"

handler400 = views.bad_request
handler403 = views.permission_denied
handler404 = views.page_not_found
handler500 = views.server_error

urlpatterns = [
    path("api/v1/openapi.json", reference.openapi),
    path("api/v1/", include("tinker_api.urls")),
    path("v1/", include("openai_api.urls")),
    path("", views.front_page),
    path("docs/", include("reference.urls")),
    path("llms.txt", reference.show_llms),
    path("llms-full.txt", reference.show_llms_full),
    path("admin/login/", accounts.sign_in),
    path("favicon.svg", views.favicon),
    path("favicon.ico", views.favicon),
    path("admin/", admin.site.urls),
]
