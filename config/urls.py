from django.urls import include, path, re_path
from drf_spectacular.views import SpectacularJSONAPIView

from config import views

urlpatterns = [
    path("healthz", views.healthz, name="healthz"),
    path("readyz", views.readyz, name="readyz"),
    path("api/schema/", SpectacularJSONAPIView.as_view(), name="schema"),
    path("api/v1/", include("annotation.urls")),
    path("api/v1/", include("training.urls")),
    # All other URLs belong to the single-page app. Unknown URLs below api/ or static/ are errors.
    re_path(r"^(?!api/|static/)(?P<path>.*)$", views.page, name="page"),
]
handler400 = "config.views.bad_request"
handler404 = "config.views.not_found"
handler500 = "config.views.server_error"
