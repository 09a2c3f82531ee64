"""The JSON form of models and their evaluations."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation.api.parameters import Query
from annotation.models import DatasetSnapshot
from training.models import Gate, ModelVersion, StageChange, TrainingRun
from training.registry.evaluations import Evaluation, Gain, Judged
from training.registry.lineage import Lineage
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
        help_text="full: the folder contains all weights. adapter: the folder contains only a LoRA adapter. "
        "The adapter belongs to the parent or to base_model.",
    )

    class Meta:
        model = ModelVersion
        fields = [
            "id", "name", "kind", "project", "base_model", "parent", "run", "weights", "metrics", "stage",
            "folder", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class PromoteSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=2000,
        help_text="Why the model is promoted. Required if the model has passed no gate.",
    )


class DemoteSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(max_length=2000, help_text="Why the model is demoted.")
    roll_back = serializers.BooleanField(
        default=False, help_text="Also promote the model that was in production before."
    )


class GateCheckSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    passed = serializers.BooleanField()
    detail = serializers.CharField()
    value = serializers.FloatField(allow_null=True)
    bound = serializers.FloatField(allow_null=True)
    low = serializers.FloatField(allow_null=True, default=None, help_text="Lower bound of the interval.")
    high = serializers.FloatField(allow_null=True, default=None)


class PreferenceSerializer(serializers.Serializer[Any]):
    answers = serializers.IntegerField()
    wins = serializers.IntegerField()
    ties = serializers.IntegerField()
    losses = serializers.IntegerField()
    win_rate = serializers.FloatField(help_text="Ties count one half.")
    low = serializers.FloatField(
        help_text="Lower bound of the interval. The interval is valid after any number of answers."
    )
    high = serializers.FloatField()
    budget = serializers.IntegerField(help_text="Number of answers after which the comparison ends.")
    verdict = serializers.ChoiceField(choices=["better", "worse", "open", "undecided"])


class WinRatesSerializer(serializers.Serializer[Any]):
    """The new policy's win rate by other judges on the same answers."""

    reward_model = PreferenceSerializer(allow_null=True, default=None)
    gold = PreferenceSerializer(
        allow_null=True, default=None, help_text="By the demo world's true reward. Decides nothing."
    )


class GateSerializer(serializers.ModelSerializer[Gate]):
    model = ModelRefSerializer()
    incumbent = ModelRefSerializer(allow_null=True)
    project = serializers.SlugRelatedField[Any](
        slug_field="slug",
        read_only=True,
        allow_null=True,
        help_text="The project of the blind human comparison, if any.",
    )
    checks = GateCheckSerializer(many=True)
    comparison = serializers.SerializerMethodField()
    win_rates = WinRatesSerializer()
    reviewed_by = serializers.SlugRelatedField[Any](
        slug_field="username",
        read_only=True,
        allow_null=True,
        help_text="The admin who approved or rejected the model, if an approval was required.",
    )

    class Meta:
        model = Gate
        fields = [
            "id", "model", "incumbent", "state", "reason", "checks", "comparison", "win_rates", "project",
            "awaiting_since", "reviewed_by", "created_at", "decided_at",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(PreferenceSerializer(allow_null=True))
    def get_comparison(self, gate: Gate) -> Any:
        return gate.comparison or None


class StageChangeSerializer(serializers.ModelSerializer[StageChange]):
    by = serializers.SlugRelatedField[Any](
        slug_field="username", read_only=True, allow_null=True, help_text="Null if the loop made the change."
    )
    gate = serializers.UUIDField(source="gate_id", allow_null=True)

    class Meta:
        model = StageChange
        fields = ["before", "after", "gate", "by", "reason", "created_at"]
        read_only_fields = fields


class HistorySerializer(serializers.Serializer[Any]):
    changes = StageChangeSerializer(many=True)
    gates = GateSerializer(many=True)


class AncestorSerializer(serializers.ModelSerializer[ModelVersion]):
    class Meta:
        model = ModelVersion
        fields = ["id", "name", "kind", "stage"]
        read_only_fields = fields


class SnapshotOfModelSerializer(serializers.ModelSerializer[DatasetSnapshot]):
    rankings = serializers.IntegerField(source="rows")
    annotators = serializers.SerializerMethodField()

    class Meta:
        model = DatasetSnapshot
        fields = ["name", "rankings", "comparisons", "annotators", "created_at"]
        read_only_fields = fields

    def get_annotators(self, snapshot: DatasetSnapshot) -> int | None:
        found: int | None = snapshot.card.get("annotators")
        return found


class UseSerializer(serializers.ModelSerializer[TrainingRun]):
    class Meta:
        model = TrainingRun
        fields = ["id", "kind", "state", "created_at"]
        read_only_fields = fields


class LineageSerializer(serializers.Serializer[Lineage]):
    ancestors = AncestorSerializer(many=True, help_text="The parent, its parent, and so on.")
    snapshot = SnapshotOfModelSerializer(allow_null=True)
    reward_models = AncestorSerializer(
        many=True, help_text="The reward models with which the model was trained."
    )
    children = AncestorSerializer(many=True, help_text="The models that were trained from this model.")
    used_by = UseSerializer(many=True, help_text="The newest runs with this model as an input.")
    responses = serializers.IntegerField(help_text="Number of the project's responses that the model wrote.")


class CardSerializer(serializers.Serializer[Any]):
    card = serializers.CharField(help_text="The model card, in Markdown.")


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
