from __future__ import annotations

from django.urls import path

from training.api import models, runs

urlpatterns = [
    path("runs/recipes/", runs.RecipesView.as_view(), name="recipes"),
    path("runs/", runs.RunsView.as_view(), name="runs"),
    path("runs/<uuid:run_id>/", runs.RunDetailView.as_view(), name="run"),
    path("runs/<uuid:run_id>/cancel", runs.CancelView.as_view(), name="run-cancel"),
    path("runs/<uuid:run_id>/resume", runs.ResumeView.as_view(), name="run-resume"),
    path("runs/<uuid:run_id>/metrics", runs.MetricsView.as_view(), name="run-metrics"),
    path("runs/<uuid:run_id>/samples", runs.SamplesView.as_view(), name="run-samples"),
    path("runs/<uuid:run_id>/log", runs.LogView.as_view(), name="run-log"),
    path("runs/<uuid:run_id>/events", runs.EventsView.as_view(), name="run-events"),
    path("models/", models.ModelsView.as_view(), name="models"),
    path("models/<uuid:model_id>/", models.ModelDetailView.as_view(), name="model"),
    path("models/<uuid:model_id>/promote", models.PromoteView.as_view(), name="model-promote"),
    path("models/<uuid:model_id>/archive", models.ArchiveView.as_view(), name="model-archive"),
    path("loops/", models.LoopsView.as_view(), name="loops"),
]
