"""The URLs of runs, models and loops, with their access rules (see `annotation.api.endpoint`)."""

from __future__ import annotations

from annotation.api.endpoint import endpoint
from annotation.api.permissions import Action
from training.loop.api import loops
from training.registry.api import models
from training.runs.api import queue, runs

RUN = "runs/<uuid:run_id>/"
MODEL = "models/<uuid:model_id>/"
ROUND = "rounds/<uuid:round_id>/"
GATE = "gates/<uuid:gate_id>/"

urlpatterns = [
    endpoint("runs/recipes/", runs.RecipesView, GET=Action.LIST_TRAINING),
    endpoint("runs/estimate", runs.EstimateView, POST=Action.TRAIN),
    endpoint("runs/", runs.RunsView, GET=Action.LIST_TRAINING, POST=Action.TRAIN),
    endpoint(RUN, runs.RunDetailView, GET=Action.READ_TRAINING),
    endpoint(f"{RUN}cancel", runs.CancelView, POST=Action.TRAIN),
    endpoint(f"{RUN}resume", runs.ResumeView, POST=Action.TRAIN),
    endpoint(f"{RUN}metrics", runs.MetricsView, GET=Action.READ_TRAINING),
    endpoint(f"{RUN}samples", runs.SamplesView, GET=Action.READ_TRAINING),
    endpoint(f"{RUN}log", runs.LogView, GET=Action.READ_TRAINING),
    endpoint(f"{RUN}candidates", runs.CandidatesView, GET=Action.READ_TRAINING),
    endpoint(f"{RUN}candidates/tasks", runs.CandidateTasksView, POST=Action.TRAIN),
    endpoint(f"{RUN}events", runs.EventsView, GET=Action.READ_TRAINING),
    endpoint("queue/", queue.QueueView, GET=Action.READ_QUEUE),
    endpoint("models/", models.ModelsView, GET=Action.LIST_TRAINING),
    endpoint("models/judged/", models.JudgedView, GET=Action.LIST_TRAINING),
    endpoint(MODEL, models.ModelDetailView, GET=Action.READ_TRAINING),
    endpoint(f"{MODEL}promote", models.PromoteView, POST=Action.TRAIN),
    endpoint(f"{MODEL}archive", models.ArchiveView, POST=Action.TRAIN),
    endpoint(f"{MODEL}report", models.ReportView, GET=Action.READ_TRAINING),
    endpoint(f"{MODEL}comparison", models.ComparisonView, GET=Action.READ_TRAINING),
    endpoint(f"{MODEL}demote", models.DemoteView, POST=Action.TRAIN),
    endpoint(f"{MODEL}lineage", models.LineageView, GET=Action.READ_TRAINING),
    endpoint(f"{MODEL}card", models.CardView, GET=Action.READ_TRAINING),
    endpoint(f"{MODEL}history", models.HistoryView, GET=Action.READ_TRAINING),
    endpoint("loops/", loops.LoopsView, GET=Action.LIST_TRAINING),
    endpoint("loops/settings/", loops.LoopSettingsView, GET=Action.LIST_TRAINING),
    endpoint("projects/<slug:slug>/loop/", loops.LoopView, GET=Action.READ_TRAINING, PUT=Action.TRAIN),
    endpoint("projects/<slug:slug>/rounds/", loops.RoundsView, GET=Action.READ_TRAINING, POST=Action.TRAIN),
    endpoint("projects/<slug:slug>/rounds/timeline/", loops.TimelineView, GET=Action.READ_TRAINING),
    endpoint(ROUND, loops.RoundDetailView, GET=Action.READ_TRAINING),
    endpoint(f"{ROUND}answers", loops.RoundAnswersView, GET=Action.READ_TRAINING),
    endpoint(f"{GATE}approve", loops.ApproveGateView, POST=Action.TRAIN),
    endpoint(f"{GATE}reject", loops.RejectGateView, POST=Action.TRAIN),
    endpoint(f"{ROUND}cancel", loops.CancelRoundView, POST=Action.TRAIN),
    endpoint(f"{ROUND}resume", loops.ResumeRoundView, POST=Action.TRAIN),
]
