"""A training job and its reported events. The database is the source of truth for the job; the queue only
wakes a worker."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Min, Q
from django.db.models.functions import Now

from annotation.ids import uuid7
from training.models.querysets import ProjectOwnedQuerySet


class RunQuerySet(ProjectOwnedQuerySet["TrainingRun"]):
    def with_names(self) -> RunQuerySet:
        """Also load the project and the user who launched the run, in the same query."""
        return self.select_related("project", "created_by")


class TrainingRun(models.Model):
    """queued → running → succeeded | failed | cancelled. A lost or resumed run is queued again.

    `attempt` counts claims and is the fencing token. Every write must contain the writer's attempt number.
    SQL rejects the write if there has been a later claim (training/runs/transitions.py, progress/events.py).
    """

    class Kind(models.TextChoices):
        SFT = "sft"
        REWARD_MODEL = "reward_model"
        REJECTION_SAMPLING = "rejection_sampling"
        RLOO = "rloo"
        PPO = "ppo"
        DPO = "dpo"
        SAMPLE = "sample"
        EVALUATE = "evaluate"

    class State(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"

    FINAL_STATES = (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey("annotation.Project", on_delete=models.PROTECT, related_name="training_runs")
    kind = models.CharField(max_length=20, choices=Kind)
    recipe = models.JSONField()
    inputs = models.JSONField()
    state = models.CharField(max_length=10, choices=State, default=State.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    # The number of claims since a user last launched or resumed the run, or since the run's newest checkpoint
    # was stored (with the claim that stored it). When the number of claims reaches MAX_TRIES, the run is no
    # longer retried automatically.
    tries = models.PositiveIntegerField(default=0)
    worker = models.CharField(max_length=200, default="", blank=True)
    # The kind of device (cpu or cuda) of the newest attempt that loaded models, or empty if none has loaded
    # models yet. Later attempts must use the same kind, unless the recipe allows another kind
    # (process/devices.py).
    device = models.CharField(max_length=10, default="", blank=True)
    heartbeat_at = models.DateTimeField(null=True)
    # The time at which the training loop last made progress, as of the last heartbeat. The heartbeat
    # continues even if the loop hangs, because a separate thread sends it.
    progressed_at = models.DateTimeField(null=True)
    # The total time of the earlier attempts since the run was launched. The sum of this time and the time of
    # the current attempt counts towards the recipe's time limit.
    spent_seconds = models.FloatField(default=0.0)
    # The attempts that ended without a result and after which the run was resumed automatically: a list of
    # {attempt, at, kind, title, detail}, oldest first.
    interruptions = models.JSONField(default=list)
    woken_at = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    phase = models.CharField(max_length=100, default="", blank=True)
    step = models.PositiveIntegerField(default=0)
    total_steps = models.PositiveIntegerField(default=0)
    eta_seconds = models.FloatField(null=True)
    # Where the run would resume: the step of its newest checkpoint, and when that checkpoint was saved. Both
    # are null if the run would start from the beginning.
    checkpoint_step = models.PositiveIntegerField(null=True)
    checkpoint_at = models.DateTimeField(null=True)
    last_seq = models.BigIntegerField(default=0)
    # The number of the last batch of events that was stored for the current attempt. If the response to a
    # write is lost, the batch is sent again, and must not be stored twice.
    reported = models.PositiveIntegerField(default=0)
    error = models.JSONField(null=True)
    result = models.JSONField(default=dict)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = RunQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running", "succeeded", "failed", "cancelled"]),
                name="training_run_state_known",
            ),
            models.CheckConstraint(
                condition=~Q(state="running") | Q(attempt__gte=1, heartbeat_at__isnull=False),
                name="training_run_running_was_claimed",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["queued", "running"], finished_at__isnull=True)
                | Q(state__in=["succeeded", "failed", "cancelled"], finished_at__isnull=False),
                name="training_run_finished_when_final",
            ),
            models.CheckConstraint(
                condition=~Q(state="failed") | Q(error__isnull=False), name="training_run_failure_has_a_cause"
            ),
        ]
        indexes = [
            # This index serves the runs page, which lists the newest run first.
            models.Index(fields=["project", "-created_at"], name="training_run_newest"),
            # This index serves the sweep of lost and waiting runs, and excludes finished runs.
            models.Index(
                fields=["state", "heartbeat_at"],
                condition=Q(state__in=["queued", "running"]),
                name="training_run_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.id}"

    @property
    def folder(self) -> Path:
        return settings.ARTEFACTS / "runs" / str(self.id)

    @property
    def log_path(self) -> Path:
        return self.folder / "log.txt"

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL_STATES


class RunEventQuerySet(models.QuerySet["RunEvent"]):
    def said_of(self, run: TrainingRun, type: str) -> RunEventQuerySet:
        """Events of one type in order, without those that a later attempt repeated. An event is left out if
        the first event of a later attempt has the same step or an earlier one."""
        said = self.filter(run=run, type=type).order_by("seq")
        began = said.order_by("attempt").values_list("attempt").annotate(first=Min("step"))
        for attempt, first in began if run.attempt > 1 else ():
            said = said.exclude(attempt__lt=attempt, step__gte=first)
        return said


class RunEvent(models.Model):
    """An event of a run. Within a run, `seq` increases by one in commit order. A reader that queries `seq >
    last seen` therefore never misses an event."""

    class Type(models.TextChoices):
        METRICS = "metrics"
        SAMPLE = "sample"
        PROGRESS = "progress"
        STATE = "state"

    run = models.ForeignKey(TrainingRun, on_delete=models.CASCADE, related_name="events")
    seq = models.BigIntegerField()
    attempt = models.PositiveIntegerField()
    type = models.CharField(max_length=10, choices=Type)
    step = models.PositiveIntegerField()
    data = models.JSONField()
    created_at = models.DateTimeField(db_default=Now())

    objects = RunEventQuerySet.as_manager()

    class Meta:
        constraints = [
            # This index also serves every query for a run's events after a given `seq`.
            models.UniqueConstraint(fields=["run", "seq"], name="run_event_seq_once"),
        ]

    def __str__(self) -> str:
        return f"{self.type} {self.seq} of run {self.run_id}"
