"""The shapes of runs, models and loops on the wire; the page's types are generated from them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from training.models import Loop, ModelVersion, RunEvent, TrainingRun
from training.registry.evaluations import Evaluation, Gain, Judged
from training.runs.failures import Failure, explain


class RunErrorSerializer(serializers.Serializer[dict[str, str]]):
    title = serializers.CharField()
    detail = serializers.CharField()
    fix = serializers.CharField()


class FailureSerializer(serializers.Serializer[Failure]):
    kind = serializers.CharField(
        help_text="Stable, for programs: out_of_memory, diverged, hub_unreachable, …"
    )
    title = serializers.CharField()
    cause = serializers.CharField()
    fix = serializers.CharField()
    settings = serializers.ListField(
        child=serializers.CharField(), help_text="Of the recipe, to look at before it is launched again."
    )
    again = serializers.BooleanField(help_text="Whether the same run may well succeed another time.")
    detail = serializers.CharField(help_text="As it was recorded.")


class ModelRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class RunRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=TrainingRun.Kind.choices)
    inputs = serializers.DictField(child=serializers.CharField())


class UsedMachineSerializer(serializers.Serializer[dict[str, Any]]):
    device = serializers.ChoiceField(choices=["cpu", "cuda"])
    name = serializers.CharField(allow_blank=True)
    memory_bytes = serializers.IntegerField()
    threads = serializers.IntegerField()
    peak_bytes = serializers.IntegerField(help_text="The most that the run held at once.")


class RunResultSerializer(serializers.Serializer[dict[str, Any]]):
    model = ModelRefSerializer(required=False)
    counts = serializers.DictField(child=serializers.IntegerField(), required=False)
    metrics = serializers.DictField(child=serializers.FloatField(), required=False)
    machine = UsedMachineSerializer(required=False)


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    recipe = serializers.DictField()
    inputs = serializers.DictField(child=serializers.CharField())
    error = RunErrorSerializer(allow_null=True)
    failure = serializers.SerializerMethodField()
    result = RunResultSerializer()
    created_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = TrainingRun
        fields = [
            "id", "project", "kind", "state", "attempt", "recipe", "inputs", "phase", "step", "total_steps",
            "eta_seconds", "created_at", "started_at", "finished_at", "cancel_requested_at", "created_by",
            "error", "failure", "result",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_failure(self, run: TrainingRun) -> dict[str, Any] | None:
        failure = explain(run)
        return None if failure is None else dict(FailureSerializer(failure).data)


def run_document(run_id: Any) -> dict[str, Any]:
    """The run as the API shows it."""
    return dict(RunSerializer(TrainingRun.objects.with_names().get(pk=run_id)).data)


class LaunchSerializer(serializers.Serializer[Any]):
    project = serializers.SlugField(max_length=80)
    kind = serializers.CharField(max_length=40)
    preset = serializers.CharField(max_length=40, default="default")
    recipe = serializers.DictField(default=dict)
    inputs = serializers.DictField(
        child=serializers.CharField(max_length=200, allow_blank=True), default=dict
    )


class RangeSerializer(serializers.Serializer[Any]):
    low = serializers.FloatField()
    expected = serializers.FloatField()
    high = serializers.FloatField()


class PartSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    bytes = serializers.FloatField()


class MachineSerializer(serializers.Serializer[Any]):
    device = serializers.ChoiceField(choices=["cpu", "cuda"])
    name = serializers.CharField(allow_blank=True)
    memory_bytes = serializers.IntegerField()
    threads = serializers.IntegerField()


class DiskSerializer(serializers.Serializer[Any]):
    model = serializers.FloatField(help_text="Bytes of what the run leaves.")
    checkpoints = serializers.FloatField(help_text="Bytes at most, which go when the run has ended.")


class RunEstimateSerializer(serializers.Serializer[Any]):
    seconds = RangeSerializer()
    memory = RangeSerializer(help_text="Bytes on the device, at the run's peak.")
    parts = PartSerializer(many=True, help_text="What the expected peak is made of.")
    fits = serializers.BooleanField(allow_null=True, help_text="null: it may just fit.")
    disk = DiskSerializer()
    machine = MachineSerializer()
    machine_known = serializers.BooleanField(help_text="A run has recorded it; else it is this server's.")
    model = serializers.CharField(help_text="The base model.")
    weights = serializers.IntegerField()
    runs = serializers.IntegerField(help_text="Earlier runs that the time was scaled from.")
    time_basis = serializers.CharField()
    memory_basis = serializers.CharField()


class RefusedSerializer(serializers.Serializer[Any]):
    field = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()


class ToldSerializer(serializers.Serializer[Any]):
    estimate = RunEstimateSerializer(allow_null=True)
    refused = RefusedSerializer(many=True)


class RunPresetSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    description = serializers.CharField()
    settings = serializers.DictField()


class RecipeKindSerializer(serializers.Serializer[Any]):
    title = serializers.CharField()
    description = serializers.CharField()
    schema = serializers.DictField()
    inputs = serializers.ListField(child=serializers.CharField())
    improves_policy = serializers.BooleanField()
    common = serializers.ListField(child=serializers.CharField())
    presets = RunPresetSerializer(many=True)


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
    folder = serializers.CharField(help_text="Where its files are, on the server.")
    weights = serializers.ChoiceField(
        choices=ModelVersion.Weights.choices,
        help_text="adapter: the folder holds a LoRA adapter of the parent, or of base_model, alone.",
    )

    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "kind", "project", "base_model", "parent", "run", "weights", "metrics", "stage",
            "folder", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class OtherModelSerializer(serializers.Serializer[Any]):
    other = serializers.UUIDField()


class EvaluationSerializer(serializers.Serializer[Evaluation]):
    run = serializers.UUIDField(source="run.id")
    created_at = serializers.DateTimeField(source="run.created_at")
    judge = serializers.CharField(help_text="gold, or the name of the reward model.")
    split = serializers.CharField(source="run.recipe.split")
    prompts = serializers.IntegerField()
    mean = serializers.FloatField()
    low = serializers.FloatField(help_text="Of the 95 % interval.")
    high = serializers.FloatField()


class GainSerializer(serializers.Serializer[Gain]):
    over = serializers.CharField(source="parent.policy", help_text="The policy that this one came from.")
    parent_run = serializers.UUIDField(source="parent.run.id")
    parent_mean = serializers.FloatField(source="parent.mean")
    difference = serializers.FloatField()
    low = serializers.FloatField(
        help_text="Of the 95 % interval, the errors added as of independent samples."
    )
    high = serializers.FloatField()
    verdict = serializers.ChoiceField(choices=["better", "worse", "unclear"])


class JudgedSerializer(serializers.Serializer[Judged]):
    model = serializers.UUIDField(source="model.id")
    evaluation = EvaluationSerializer()
    gain = GainSerializer(allow_null=True)


class JudgedPoliciesSerializer(serializers.Serializer[Any]):
    policies = JudgedSerializer(many=True)


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
