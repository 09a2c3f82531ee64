"""The shapes of runs, models and loops on the wire; the page's types are generated from them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from training.models import Loop, ModelVersion, RunEvent, TrainingRun


class RunErrorSerializer(serializers.Serializer[dict[str, str]]):
    title = serializers.CharField()
    detail = serializers.CharField()
    fix = serializers.CharField()


class ModelRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class RunRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=TrainingRun.Kind.choices)


class RunResultSerializer(serializers.Serializer[dict[str, Any]]):
    model = ModelRefSerializer(required=False)
    counts = serializers.DictField(child=serializers.IntegerField(), required=False)
    metrics = serializers.DictField(child=serializers.FloatField(), required=False)


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    recipe = serializers.DictField()
    inputs = serializers.DictField(child=serializers.CharField())
    error = RunErrorSerializer(allow_null=True)
    result = RunResultSerializer()
    created_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = TrainingRun
        fields = [
            "id", "project", "kind", "state", "attempt", "recipe", "inputs", "phase", "step", "total_steps",
            "eta_seconds", "created_at", "started_at", "finished_at", "cancel_requested_at", "created_by",
            "error", "result",
        ]  # fmt: skip
        read_only_fields = fields


def run_document(run_id: Any) -> dict[str, Any]:
    """The run as the API shows it."""
    return dict(RunSerializer(TrainingRun.objects.with_names().get(pk=run_id)).data)


class LaunchSerializer(serializers.Serializer[Any]):
    project = serializers.SlugField(max_length=80)
    kind = serializers.CharField(max_length=40)
    recipe = serializers.DictField(default=dict)
    inputs = serializers.DictField(
        child=serializers.CharField(max_length=200, allow_blank=True), default=dict
    )


class RecipeKindSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    description = serializers.CharField()
    schema = serializers.DictField()
    inputs = serializers.ListField(child=serializers.CharField())


RecipesSerializer = inline_serializer(
    "Recipes", fields={kind: RecipeKindSerializer() for kind in TrainingRun.Kind.values}
)


class MetricsEventSerializer(serializers.ModelSerializer[RunEvent]):
    values = serializers.DictField(source="data.values", child=serializers.FloatField())

    class Meta:
        model = RunEvent
        fields = ["seq", "attempt", "step", "values"]


class MetricsSerializer(serializers.Serializer[Any]):
    results = MetricsEventSerializer(many=True)


class PromptMessageSerializer(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField()


class SampleEventSerializer(serializers.ModelSerializer[RunEvent]):
    prompt = PromptMessageSerializer(source="data.prompt", many=True)
    before = serializers.CharField(source="data.before")
    after = serializers.CharField(source="data.after")
    scores = serializers.DictField(source="data.scores", child=serializers.FloatField())

    class Meta:
        model = RunEvent
        fields = ["seq", "attempt", "step", "prompt", "before", "after", "scores"]


class LogSerializer(serializers.Serializer[Any]):
    lines = serializers.ListField(child=serializers.CharField())


class ModelSerializer(serializers.ModelSerializer[ModelVersion]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    parent = ModelRefSerializer(allow_null=True)
    run = RunRefSerializer(allow_null=True)
    metrics = serializers.DictField(child=serializers.FloatField())

    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "kind", "project", "base_model", "parent", "run", "metrics", "stage", "created_at"
        ]  # fmt: skip
        read_only_fields = fields


class LoopSerializer(serializers.ModelSerializer[Loop]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)

    class Meta:
        model = Loop
        fields = ["id", "project", "enabled", "min_new_comparisons", "improve_with", "created_at"]
        read_only_fields = ["id", "created_at"]


class SetLoopSerializer(serializers.ModelSerializer[Loop]):
    project = serializers.SlugField(max_length=80)
    min_new_comparisons = serializers.IntegerField(min_value=1, max_value=2**31 - 1, required=False)

    class Meta:
        model = Loop
        fields = ["project", "enabled", "min_new_comparisons", "improve_with"]
