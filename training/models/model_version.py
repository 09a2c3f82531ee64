"""A policy or a reward model, and its origin."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Q

from annotation.ids import uuid7
from annotation.models import Project
from training.models.querysets import ProjectOwnedQuerySet


class ModelVersionQuerySet(ProjectOwnedQuerySet["ModelVersion"]):
    def with_lineage(self) -> ModelVersionQuerySet:
        """Also load each model's project, parent and run, in the same query."""
        return self.select_related("project", "parent", "run")

    def usable(self, *, project: Project, kind: str) -> ModelVersionQuerySet:
        """The project's models that a run can use as an input of this kind."""
        return self.filter(project=project, kind=kind).exclude(stage=ModelVersion.Stage.ARCHIVED)

    def default_for(
        self, *, project: Project, kind: str, reward_model: ModelVersion | None = None
    ) -> ModelVersion | None:
        """The default model of this kind. None if no model of this kind is usable.

        The default is the production model. Without a production model, models that have gates but passed
        none of them come last. Among the others, the default is the policy from which `reward_model` was
        trained, if `reward_model` is given, and otherwise the newest model.
        """
        parent = models.Q(pk=reward_model.parent_id if reward_model else None)
        return (
            self.usable(project=project, kind=kind)
            .annotate(
                in_production=models.Case(
                    models.When(stage=ModelVersion.Stage.PRODUCTION, then=True), default=False
                ),
                is_parent=models.Case(models.When(parent, then=True), default=False),
            )
            .order_by("-in_production", self._refused(), "-is_parent", "-created_at")
            .first()
        )

    def _refused(self) -> models.expressions.Combinable:
        """Whether a model has gates, but passed none of them."""
        from training.models.gate import Gate  # gate.py imports this module

        gates = Gate.objects.filter(model=models.OuterRef("pk"))
        passed = models.Exists(gates.filter(state=Gate.State.PASSED))
        return models.Case(models.When(models.Exists(gates) & ~models.Q(passed), then=True), default=False)


class ModelVersion(models.Model):
    """A model whose weights are in an artefact folder. A row is created only after all of the model's files
    have been written to the folder.

    A model's `name` never changes, because each Response stores the name of the model that generated it.
    """

    class Kind(models.TextChoices):
        POLICY = "policy"
        REWARD_MODEL = "reward_model"

    class Weights(models.TextChoices):
        FULL = "full"
        ADAPTER = "adapter"

    class Stage(models.TextChoices):
        CANDIDATE = "candidate"
        PRODUCTION = "production"
        ARCHIVED = "archived"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    project = models.ForeignKey("annotation.Project", on_delete=models.PROTECT, related_name="model_versions")
    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20, choices=Kind)
    base_model = models.CharField(max_length=500)
    parent = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="children")
    run = models.ForeignKey(
        "training.TrainingRun", null=True, on_delete=models.PROTECT, related_name="made_models"
    )
    path = models.CharField(max_length=500)
    weights = models.CharField(max_length=10, choices=Weights, default=Weights.FULL)
    files = models.JSONField(
        null=True,
        help_text="The size and SHA-256 of each file, by relative path. Null for a model that was registered "
        "before checksums were stored and has not been used since.",
    )
    metrics = models.JSONField(default=dict)
    stage = models.CharField(max_length=12, choices=Stage, default=Stage.CANDIDATE)
    created_at = models.DateTimeField(auto_now_add=True)

    objects = ModelVersionQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["project", "kind"],
                condition=Q(stage="production"),
                name="one_production_model_per_kind",
            ),
            models.CheckConstraint(
                condition=Q(kind__in=["policy", "reward_model"]), name="model_version_kind_known"
            ),
            models.CheckConstraint(
                condition=Q(stage__in=["candidate", "production", "archived"]),
                name="model_version_stage_known",
            ),
        ]
        indexes = [
            # This index serves the models page and the search for the newest model of a kind. If no model of
            # a kind is in production, runs use the newest model of this kind by default.
            models.Index(fields=["project", "kind", "-created_at"], name="model_version_newest"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def folder(self) -> Path:
        return settings.ARTEFACTS / self.path
