"""The JSON form of a training loop and its rounds."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation.api.parameters import Query
from training.loop.gates.before_after import AnswersCompared
from training.loop.settings import IMPROVING, parse_settings
from training.loop.status import LoopStatus
from training.models import Loop, Round, RoundStep
from training.registry.api.model_serializers import GateSerializer
from training.runs.api.serializers import ModelRefSerializer


class LoopStatusSerializer(serializers.Serializer[LoopStatus]):
    new_comparisons = serializers.IntegerField(
        help_text="Number of comparisons that no round has used. A round starts when this number reaches "
        "min_new_comparisons."
    )
    next_scheduled_at = serializers.DateTimeField(allow_null=True)
    running_round = serializers.IntegerField(allow_null=True, help_text="The number of the running round.")
    blocked_by = serializers.CharField(
        help_text="Why no further round can start, for example because a budget is used up; empty if nothing "
        "prevents a round."
    )
    gpu_hours = serializers.FloatField(help_text="Total time of the runs of all rounds, in hours.")


class LoopSerializer(serializers.ModelSerializer[Loop]):
    project = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    settings = serializers.SerializerMethodField(help_text="All settings, with defaults filled in.")

    class Meta:
        model = Loop
        fields = ["id", "project", "enabled", "settings", "created_at"]
        read_only_fields = fields

    @extend_schema_field(serializers.DictField())
    def get_settings(self, loop: Loop) -> dict[str, Any]:
        return parse_settings(loop.settings).model_dump(mode="json")


class LoopDetailSerializer(LoopSerializer):
    status = LoopStatusSerializer()

    class Meta(LoopSerializer.Meta):
        fields = [*LoopSerializer.Meta.fields, "status"]
        read_only_fields = fields


class SetLoopSerializer(serializers.Serializer[Any]):
    enabled = serializers.BooleanField(required=False, help_text="Whether rounds start automatically.")
    settings = serializers.DictField(
        required=False,
        help_text="Settings to change (see loops/settings/); omitted settings keep their values.",
    )


class StepRunSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    state = serializers.CharField()
    phase = serializers.CharField()
    step = serializers.IntegerField()
    total_steps = serializers.IntegerField()
    eta_seconds = serializers.FloatField(allow_null=True)
    spent_seconds = serializers.FloatField(help_text="Total time of the run's ended attempts.")


class RoundStepSerializer(serializers.ModelSerializer[RoundStep]):
    run = StepRunSerializer(allow_null=True)
    gate = serializers.SerializerMethodField()
    outcome = serializers.DictField()

    class Meta:
        model = RoundStep
        fields = [
            "position", "kind", "subject", "state", "reason", "outcome", "run", "gate", "started_at",
            "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(GateSerializer(allow_null=True))
    def get_gate(self, step: RoundStep) -> Any:
        gate = getattr(step, "gate", None)
        return None if gate is None else GateSerializer(gate).data


class RoundSerializer(serializers.ModelSerializer[Round]):
    project = serializers.CharField(source="loop.project.slug")
    snapshot = serializers.SlugRelatedField[Any](slug_field="name", read_only=True, allow_null=True)
    started_by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True, help_text="Null if no user started the round."
    )
    starting_policy = ModelRefSerializer(allow_null=True)
    promoted = serializers.SerializerMethodField(help_text="The models that the round promoted.")
    gpu_hours = serializers.SerializerMethodField(help_text="Total time of the round's runs, in hours.")
    price = serializers.SerializerMethodField(
        help_text="The price of these hours; null if the round's settings contain no price_per_hour."
    )

    class Meta:
        model = Round
        fields = [
            "id", "project", "number", "state", "reason", "trigger", "new_comparisons", "snapshot",
            "starting_policy", "promoted", "gpu_hours", "price", "started_by", "created_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(ModelRefSerializer(many=True))
    def get_promoted(self, round: Round) -> Any:
        gates = [getattr(step, "gate", None) for step in round.steps.all()]
        passed = [gate.model for gate in gates if gate is not None and gate.state == "passed"]
        return ModelRefSerializer(passed, many=True).data

    def get_gpu_hours(self, round: Round) -> float:
        return sum(step.run.spent_seconds for step in round.steps.all() if step.run is not None) / 3600

    def get_price(self, round: Round) -> float | None:
        per_hour = round.settings.get("price_per_hour")
        return None if per_hour is None else per_hour * self.get_gpu_hours(round)


class TimelineRoundSerializer(RoundSerializer):
    """A round with the records of its gates. The gate of the reward model comes first."""

    gates = serializers.SerializerMethodField()

    class Meta(RoundSerializer.Meta):
        fields = [*RoundSerializer.Meta.fields, "gates"]
        read_only_fields = fields

    @extend_schema_field(GateSerializer(many=True))
    def get_gates(self, round: Round) -> Any:
        gates = [step.gate for step in round.steps.all() if hasattr(step, "gate")]
        return GateSerializer(gates, many=True).data


class RejectSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2000, help_text="Why the model is rejected.")


class AnswersQuery(Query):
    subject = serializers.ChoiceField(choices=IMPROVING, help_text="The run kind that made the new policy.")


class AnswersComparedSerializer(serializers.Serializer[AnswersCompared]):
    messages = serializers.ListField(child=serializers.DictField(child=serializers.CharField()))
    before = serializers.CharField(help_text="The answer of the production policy.")
    after = serializers.CharField(help_text="The answer of the new policy.")
    before_points = serializers.FloatField(help_text="By the round's reward model.")
    after_points = serializers.FloatField()


class RoundDetailSerializer(RoundSerializer):
    steps = RoundStepSerializer(many=True)
    settings = serializers.DictField()

    class Meta(RoundSerializer.Meta):
        fields = [*RoundSerializer.Meta.fields, "settings", "steps"]
        read_only_fields = fields
