"""Serializers for answer forms."""

from __future__ import annotations

from typing import Any, get_args

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from annotation.forms import answer_form
from annotation.forms.presets import PRESETS

_MAX_NAME, _MAX_LABEL = 60, 200  # as in answer_form.Name and answer_form.Label
PRESET_NAMES = [(name, name) for name in PRESETS]


class ResponseSpan(serializers.Serializer[Any]):
    min = serializers.IntegerField()
    max = serializers.IntegerField()


class TopK(serializers.Serializer[Any]):
    at_least = serializers.IntegerField()
    at_most = serializers.IntegerField()


class Level(serializers.Serializer[Any]):
    value = serializers.IntegerField()
    label = serializers.CharField(max_length=_MAX_LABEL)  # type: ignore[assignment]


class Levels(serializers.Serializer[Any]):
    levels = Level(many=True)
    required = serializers.BooleanField()  # type: ignore[assignment]


class RatingScale(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=_MAX_NAME)
    label = serializers.CharField(max_length=_MAX_LABEL)  # type: ignore[assignment]
    min = serializers.IntegerField()
    max = serializers.IntegerField()
    required = serializers.BooleanField()  # type: ignore[assignment]
    points = Level(many=True, help_text="Labels of some or all steps.")


class NamedChoice(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=_MAX_NAME)
    label = serializers.CharField(max_length=_MAX_LABEL)  # type: ignore[assignment]


class Question(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=_MAX_NAME)
    label = serializers.CharField(max_length=_MAX_LABEL)  # type: ignore[assignment]
    choices = NamedChoice(many=True)
    required = serializers.BooleanField()  # type: ignore[assignment]


class AllBad(serializers.Serializer[Any]):
    label = serializers.CharField(max_length=_MAX_LABEL)  # type: ignore[assignment]
    order = serializers.ChoiceField(
        choices=get_args(answer_form.AllBad.model_fields["order"].annotation),
        help_text="How an answer that marks all responses as bad affects the order.",
    )


class TextAsked(serializers.Serializer[Any]):
    label = serializers.CharField(max_length=_MAX_LABEL)  # type: ignore[assignment]
    required = serializers.BooleanField()  # type: ignore[assignment]


class Form(serializers.Serializer[Any]):
    responses = ResponseSpan(help_text="Number of responses in a task.")
    ties = serializers.BooleanField()
    tie_label = serializers.CharField(max_length=_MAX_LABEL)
    top_k = TopK(
        allow_null=True,
        help_text="Limits the ranking to the best responses. Null if all responses are ranked.",
    )
    strength = Levels(allow_null=True)
    ratings = RatingScale(many=True)
    flags = NamedChoice(many=True)
    questions = Question(many=True, help_text="Questions about the task as a whole.")
    confidence = Levels(allow_null=True)
    not_rankable = serializers.BooleanField()
    all_bad = AllBad(allow_null=True)
    comment = TextAsked(allow_null=True)
    rewrite = TextAsked(allow_null=True)


@extend_schema_field(Form)
class FormField(serializers.JSONField):
    """Not validated here: `annotation.forms.answer_form` validates the form and reports each invalid
    field."""


class Preset(serializers.Serializer[Any]):
    name = serializers.ChoiceField(choices=PRESET_NAMES)
    form = Form()


class FormToCheck(serializers.Serializer[Any]):
    form = FormField()


class FormEffect(serializers.Serializer[Any]):
    form = Form(help_text="The form as it would be stored, with defaults for missing parts.")
    open_tasks = serializers.IntegerField(help_text="Number of open tasks, which would use the new form.")
    in_hand = serializers.IntegerField(help_text="Number of open leases, which keep the form that was shown.")
