"""Every address of the dashboard's API."""

from django.urls import path
from drf_spectacular.views import SpectacularJSONAPIView

from console_api.batches import BatchViewSet
from console_api.checkpoint_actions import CheckpointActionViewSet
from console_api.checkpoints import CheckpointViewSet
from console_api.cluster import ClusterViewSet
from console_api.comparing import ComparisonViewSet
from console_api.lineage import LineageViewSet
from console_api.metrics import MetricViewSet
from console_api.people import MeView, SessionView
from console_api.rollouts import RolloutViewSet
from console_api.runs import RunViewSet
from console_api.since import SinceViewSet
from console_api.timeline import TimelineViewSet
from console_api.usage import UsageViewSet

_RUN = "runs/<str:run_id>"

urlpatterns = [
    path("openapi.json", SpectacularJSONAPIView.as_view(authentication_classes=[])),
    path("session", SessionView.as_view()),
    path("me", MeView.as_view()),
    path("cluster", ClusterViewSet.as_view({"get": "now"})),
    path("since", SinceViewSet.as_view({"get": "read", "post": "mark"})),
    path("usage", UsageViewSet.as_view({"get": "month"})),
    path("usage/runs", UsageViewSet.as_view({"get": "runs"})),
    path("usage/csv", UsageViewSet.as_view({"get": "csv"})),
    path("checkpoints", CheckpointViewSet.as_view({"get": "page"})),
    path("checkpoints/changes", CheckpointActionViewSet.as_view({"post": "change"})),
    path(
        "checkpoints/deleted",
        CheckpointActionViewSet.as_view({"get": "deleted", "post": "change_deleted"}),
    ),
    path("checkpoints/archives", CheckpointActionViewSet.as_view({"post": "archive"})),
    path("compare", ComparisonViewSet.as_view({"get": "whole"})),
    path("compare/series", ComparisonViewSet.as_view({"get": "curves"})),
    path("compare/prompts", ComparisonViewSet.as_view({"get": "prompts"})),
    path("lineage", LineageViewSet.as_view({"get": "whole"})),
    path("runs", RunViewSet.as_view({"get": "page"})),
    path(_RUN, RunViewSet.as_view({"get": "one"})),
    path(f"{_RUN}/batches", BatchViewSet.as_view({"get": "steps"})),
    path(f"{_RUN}/batches/<int:step>", BatchViewSet.as_view({"get": "batch"})),
    path(f"{_RUN}/datums/<int:datum_id>", BatchViewSet.as_view({"get": "datum"})),
    path(f"{_RUN}/examples", BatchViewSet.as_view({"get": "examples"})),
    path(f"{_RUN}/checkpoints", CheckpointViewSet.as_view({"get": "of_run"})),
    path(f"{_RUN}/metrics", MetricViewSet.as_view({"get": "names"})),
    path(f"{_RUN}/series", MetricViewSet.as_view({"get": "series"})),
    path(f"{_RUN}/timeline", TimelineViewSet.as_view({"get": "one"})),
    path(f"{_RUN}/rollouts", RolloutViewSet.as_view({"get": "steps"})),
    path(f"{_RUN}/rollouts/<int:step>", RolloutViewSet.as_view({"get": "groups"})),
    path(f"{_RUN}/rollouts/<int:step>/<int:group>", RolloutViewSet.as_view({"get": "group"})),
]
