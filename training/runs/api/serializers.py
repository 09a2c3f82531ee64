"""The JSON form of runs and their events, from which the web page's types are generated."""

from __future__ import annotations

from collections import Counter
from typing import Any

from drf_spectacular.utils import extend_schema_field, inline_serializer
from rest_framework import serializers

from annotation.content.adding import Counts
from annotation.models.project import MAX_OVERLAP
from preferences.text import MAX_RESPONSES, MIN_RESPONSES
from training.models import RunEvent, TrainingRun
from training.runs.failures import Failure, explain


class FailureSerializer(serializers.Serializer[Failure]):
    kind = serializers.CharField(
        help_text="A stable identifier, such as out_of_memory, diverged or hub_unreachable."
    )
    title = serializers.CharField()
    cause = serializers.CharField()
    fix = serializers.CharField()
    settings = serializers.ListField(
        child=serializers.CharField(), help_text="Recipe settings to review before the next launch."
    )
    again = serializers.BooleanField(help_text="Whether the same run can succeed on another attempt.")
    detail = serializers.CharField(help_text="The recorded error message.")


class ModelRefSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    name = serializers.CharField()


class UsedMachineSerializer(serializers.Serializer[dict[str, Any]]):
    device = serializers.ChoiceField(choices=["cpu", "cuda"])
    name = serializers.CharField(allow_blank=True)
    memory_bytes = serializers.IntegerField()
    threads = serializers.IntegerField()
    peak_bytes = serializers.IntegerField(help_text="Peak memory of the run in bytes.")


class StoredCandidatesSerializer(serializers.Serializer[dict[str, Any]]):
    sha256 = serializers.CharField(help_text="The SHA-256 of the file that `runs/{id}/candidates` returns.")
    bytes = serializers.IntegerField()


class RunResultSerializer(serializers.Serializer[dict[str, Any]]):
    model = ModelRefSerializer(required=False)
    counts = serializers.DictField(child=serializers.IntegerField(), required=False)
    metrics = serializers.DictField(child=serializers.FloatField(), required=False)
    machine = UsedMachineSerializer(required=False)
    trained_weights = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="The names of the weights that the run trained. A range such as layers.0-3 stands for "
        "several layers.",
    )
    candidates = StoredCandidatesSerializer(required=False)


class InterruptionSerializer(serializers.Serializer[dict[str, Any]]):
    attempt = serializers.IntegerField(help_text="The attempt that was interrupted.")
    at = serializers.DateTimeField()
    kind = serializers.CharField(help_text="A failure kind, such as killed, out_of_memory or worker_lost.")
    title = serializers.CharField()
    detail = serializers.CharField()


class RunSerializer(serializers.ModelSerializer[TrainingRun]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    recipe = serializers.DictField()
    inputs = serializers.DictField(child=serializers.CharField())
    failure = serializers.SerializerMethodField()
    interruptions = InterruptionSerializer(
        many=True, help_text="The attempts after which the run was resumed automatically, oldest first."
    )
    result = RunResultSerializer()
    created_by = serializers.SlugRelatedField[Any](slug_field="username", read_only=True, allow_null=True)

    class Meta:
        model = TrainingRun
        fields = [
            "id", "project", "kind", "state", "attempt", "recipe", "inputs", "phase", "step", "total_steps",
            "eta_seconds", "created_at", "started_at", "finished_at", "cancel_requested_at", "created_by",
            "progressed_at", "device", "checkpoint_step", "checkpoint_at", "failure", "interruptions",
            "result",
        ]  # fmt: skip
        read_only_fields = fields
        extra_kwargs = {
            "device": {"help_text": "The kind of device, cpu or cuda. Empty before the run has started."},
            "checkpoint_step": {
                "help_text": "The step after which the run would resume. Null without a checkpoint."
            },
            "checkpoint_at": {"help_text": "When this checkpoint was saved."},
        }

    @extend_schema_field(FailureSerializer(allow_null=True))
    def get_failure(self, run: TrainingRun) -> dict[str, Any] | None:
        failure = explain(run)
        return None if failure is None else dict(FailureSerializer(failure).data)


def run_document(run_id: Any) -> dict[str, Any]:
    """Return the run as the API represents it."""
    return dict(RunSerializer(TrainingRun.objects.with_names().get(pk=run_id)).data)


class LaunchSerializer(serializers.Serializer[Any]):
    project = serializers.SlugField(max_length=80)
    kind = serializers.CharField(max_length=40)
    preset = serializers.CharField(max_length=40, default="default")
    recipe = serializers.DictField(default=dict)
    inputs = serializers.DictField(
        child=serializers.CharField(max_length=200, allow_blank=True), default=dict
    )


class ForcedLaunchSerializer(LaunchSerializer):
    force = serializers.BooleanField(
        default=False,
        help_text="Launch the run even if, according to the estimate, no running worker has enough memory "
        "for it.",
    )


class ResumeSerializer(serializers.Serializer[Any]):
    max_minutes = serializers.FloatField(
        required=False,
        help_text="A new time limit in minutes, for example for a run that reached its limit. The time of "
        "earlier attempts counts towards the limit.",
    )
    other_device = serializers.BooleanField(
        required=False,
        help_text="Whether the run may continue on a different kind of device from the one it started on.",
    )


class CandidateTasksSerializer(serializers.Serializer[Any]):
    responses_per_task = serializers.IntegerField(
        default=4,
        min_value=MIN_RESPONSES,
        max_value=MAX_RESPONSES,
        help_text="Maximum number of responses per task. A task contains fewer responses if there are fewer "
        "distinct answers.",
    )
    max_tasks = serializers.IntegerField(
        default=100, min_value=1, max_value=10_000, help_text="Maximum number of tasks, one per prompt."
    )
    overlap = serializers.IntegerField(
        default=None,
        allow_null=True,
        min_value=1,
        max_value=MAX_OVERLAP,
        help_text="Number of annotators who rank each task. If empty, the project's overlap is used.",
    )
    priority = serializers.IntegerField(
        default=10,
        min_value=-1000,
        max_value=1000,
        help_text="Tasks with a higher priority are assigned first. Imported tasks have priority 0.",
    )


class AddedTasksSerializer(serializers.Serializer[Counts]):
    tasks = serializers.IntegerField(help_text="Number of new tasks.")
    unchanged = serializers.IntegerField(help_text="Number of tasks that already existed.")
    responses = serializers.IntegerField(help_text="Number of new responses.")
    refused = serializers.SerializerMethodField(help_text="Number of prompts that got no task, by reason.")

    def get_refused(self, counts: Counts) -> dict[str, int]:
        return dict(Counter(refused.reason for refused in counts.refused))


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
