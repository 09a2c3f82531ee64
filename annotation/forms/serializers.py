"""What a project's form asks, as the API says and takes it."""

from __future__ import annotations

from typing import Any, get_args

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation.forms import answer_form
from annotation.forms.presets import PRESETS

PRESET_NAMES = [(name, name) for name in PRESETS]


class ResponseSpan(serializers.Serializer[Any]):
    min = serializers.IntegerField()
    max = serializers.IntegerField()


class TopK(serializers.Serializer[Any]):
    at_least = serializers.IntegerField()
    at_most = serializers.IntegerField()


class Level(serializers.Serializer[Any]):
    value = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]


class Levels(serializers.Serializer[Any]):
    levels = Level(many=True)
    required = serializers.BooleanField()  # type: ignore[assignment]


class RatingScale(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    min = serializers.IntegerField()
    max = serializers.IntegerField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    points = Level(many=True, help_text="What some or all of the steps mean.")


class NamedChoice(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]


class Question(serializers.Serializer[Any]):
    name = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    choices = NamedChoice(many=True)
    required = serializers.BooleanField()  # type: ignore[assignment]


class AllBad(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    order = serializers.ChoiceField(
        choices=get_args(answer_form.AllBad.model_fields["order"].annotation),
        help_text="What becomes of the order when all are bad.",
    )


class TextAsked(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    required = serializers.BooleanField()  # type: ignore[assignment]


class Form(serializers.Serializer[Any]):
    responses = ResponseSpan(help_text="How many responses a task of this form shows.")
    ties = serializers.BooleanField()
    tie_label = serializers.CharField()
    top_k = TopK(allow_null=True, help_text="Only the best are ranked; null: all are.")
    strength = Levels(allow_null=True)
    ratings = RatingScale(many=True)
    flags = NamedChoice(many=True)
    questions = Question(many=True, help_text="About the task as a whole.")
    confidence = Levels(allow_null=True)
    not_rankable = serializers.BooleanField()
    all_bad = AllBad(allow_null=True)
    comment = TextAsked(allow_null=True)
    rewrite = TextAsked(allow_null=True)


@extend_schema_field(Form)
class FormField(serializers.JSONField):
    """Passed on as it came: annotation.forms.answer_form knows what is right, and says what is wrong."""


class Preset(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=PRESET_NAMES)
    form = Form()


class FormToCheck(serializers.Serializer[Any]):
    form = FormField()


class FormEffect(serializers.Serializer[Any]):
    form = Form(help_text="As it would be kept: with the defaults of what was left out.")
    open_tasks = serializers.IntegerField(help_text="Tasks still to be ranked, which would be asked by it.")
    in_hand = serializers.IntegerField(help_text="Tasks somebody has open, who answers what they were shown.")
