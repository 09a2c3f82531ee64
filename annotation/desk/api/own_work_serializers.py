"""Serializers for annotators' own work and practice feedback."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.desk.api.serializers import Answer, ResponseShown, TaskShown
from annotation.desk.practice import Said
from annotation.forms.serializers import FormField


class Qualification(serializers.Serializer[Any]):
    tasks = serializers.IntegerField(help_text="Number of tasks in a qualification attempt.")
    left = serializers.IntegerField()
    attempt = serializers.IntegerField()
    attempts = serializers.IntegerField()


class OwnFigures(serializers.Serializer[Any]):
    answered = serializers.IntegerField()
    answered_today = serializers.IntegerField(help_text="Since midnight UTC.")
    left_today = serializers.IntegerField(
        allow_null=True, help_text="Number of tasks left today under the caps; null if there is no cap."
    )
    median_seconds = serializers.FloatField(
        allow_null=True, help_text="Median time per task over the last 100 tasks."
    )
    qualification = Qualification(
        allow_null=True, help_text="Null if the user need not qualify, has qualified, or has no attempt left."
    )


class LastAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField(
        source="shown.id", help_text="The ID of the assignment whose answer can be revised."
    )
    task = TaskShown(source="shown.task")
    responses = ResponseShown(source="shown.responses", many=True)
    form = FormField(source="shown.form")
    answer = Answer()
    answered_at = serializers.DateTimeField()


class FeedbackPair(serializers.Serializer[Any]):
    better = serializers.UUIDField()
    worse = serializers.UUIDField()
    said = serializers.ChoiceField(choices=[(said.value, said.value) for said in Said])


class Feedback(serializers.Serializer[Any]):
    score = serializers.FloatField(
        help_text="The share of correctly ordered pairs, 0 to 1; a tie scores one half."
    )
    tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    right_tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    pairs = FeedbackPair(
        many=True, help_text="The pairs of responses that are not tied in the correct answer."
    )
    passed = serializers.BooleanField(allow_null=True, help_text="Null until the attempt ends.")
    attempt_score = serializers.FloatField(allow_null=True)
    pass_mark = serializers.FloatField(allow_null=True)
    attempts_left = serializers.IntegerField(
        allow_null=True, help_text="Number of attempts left after a failed attempt."
    )
