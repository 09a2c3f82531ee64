from __future__ import annotations

from django.urls import path

from annotation.api import assignments, auth, data, projects

urlpatterns = [
    path("auth/login", auth.LoginView.as_view()),
    path("auth/logout", auth.LogoutView.as_view()),
    path("auth/me", auth.MeView.as_view()),
    path("projects/", projects.ProjectsView.as_view()),
    path("projects/<slug:slug>/", projects.ProjectDetailView.as_view()),
    path("projects/<slug:slug>/members/", projects.MembersView.as_view()),
    path("projects/<slug:slug>/progress/", projects.ProgressView.as_view()),
    path("projects/<slug:slug>/quality/", projects.QualityView.as_view()),
    path("projects/<slug:slug>/leaderboard/", projects.LeaderboardView.as_view()),
    path("projects/<slug:slug>/assignments/next", assignments.NextAssignmentView.as_view()),
    path("assignments/<uuid:id>/draft", assignments.DraftView.as_view()),
    path("assignments/<uuid:id>/heartbeat", assignments.HeartbeatView.as_view()),
    path("assignments/<uuid:id>/skip", assignments.SkipView.as_view()),
    path("assignments/<uuid:id>/release", assignments.ReleaseView.as_view()),
    path("assignments/<uuid:id>/submit", assignments.SubmitView.as_view()),
    path("assignments/<uuid:id>/revise", assignments.ReviseView.as_view()),
    path("projects/<slug:slug>/imports/", data.ImportsView.as_view()),
    path("projects/<slug:slug>/snapshots/", data.SnapshotsView.as_view()),
    path("snapshots/<uuid:id>/export", data.ExportView.as_view()),
]
