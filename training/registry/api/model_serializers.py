"""The JSON form of models and their evaluations."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.api.parameters import Query
from training.models import ModelVersion, TrainingRun
from training.registry.evaluations import Evaluation, Gain, Judged
from training.runs.api.base import ProjectQuery
from training.runs.api.serializers import ModelRefSerializer


class RunRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=TrainingRun.Kind.choices)
    inputs = serializers.DictField(child=serializers.CharField())


class ModelSerializer(serializers.ModelSerializer[ModelVersion]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    parent = ModelRefSerializer(allow_null=True)
    run = RunRefSerializer(allow_null=True)
    metrics = serializers.DictField(child=serializers.FloatField())
    folder = serializers.CharField(help_text="Path of the model's files on the server.")
    weights = serializers.ChoiceField(
        choices=ModelVersion.Weights.choices,
        help_text="full: the folder holds all weights. adapter: the folder holds only a LoRA adapter. The "
        "adapter belongs to the parent or to base_model.",
    )

    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "kind", "project", "base_model", "parent", "run", "weights", "metrics", "stage",
            "folder", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class ModelsQuery(ProjectQuery):
    kind = serializers.ChoiceField(choices=ModelVersion.Kind.choices, required=False)


class OtherModelQuery(Query):
    other = serializers.UUIDField(help_text="The ID of the other model.")


class EvaluationSerializer(serializers.Serializer[Evaluation]):
    run = serializers.UUIDField(source="run.id")
    created_at = serializers.DateTimeField(source="run.created_at")
    judge = serializers.CharField(help_text="gold, or the name of a reward model.")
    split = serializers.CharField(source="run.recipe.split")
    prompts = serializers.IntegerField()
    mean = serializers.FloatField()
    low = serializers.FloatField(help_text="Lower bound of the 95 % confidence interval.")
    high = serializers.FloatField()


class GainSerializer(serializers.Serializer[Gain]):
    over = serializers.CharField(source="parent.policy", help_text="The name of the parent policy.")
    parent_run = serializers.UUIDField(source="parent.run.id")
    parent_mean = serializers.FloatField(source="parent.mean")
    difference = serializers.FloatField()
    low = serializers.FloatField(
        help_text="Lower bound of the 95 % confidence interval, with standard errors combined as for "
        "independent samples."
    )
    high = serializers.FloatField()
    verdict = serializers.ChoiceField(choices=["better", "worse", "unclear"])


class JudgedSerializer(serializers.Serializer[Judged]):
    model = serializers.UUIDField(source="model.id")
    evaluation = EvaluationSerializer()
    gain = GainSerializer(allow_null=True)


class JudgedPoliciesSerializer(serializers.Serializer[Any]):
    policies = JudgedSerializer(many=True)
