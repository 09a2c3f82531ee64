"""What annotators see of their own work, practice, and what they report of tasks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation.desk.api.serializers import Answer, ResponseShown, TaskShown
from annotation.desk.practice import Said
from annotation.forms.serializers import FormField


class Qualification(serializers.Serializer[Any]):
    tasks = serializers.IntegerField(help_text="Of one attempt.")
    left = serializers.IntegerField()
    attempt = serializers.IntegerField()
    attempts = serializers.IntegerField()


class OwnFigures(serializers.Serializer[Any]):
    answered = serializers.IntegerField()
    answered_today = serializers.IntegerField(help_text="The day is UTC's.")
    left_today = serializers.IntegerField(allow_null=True, help_text="What the caps leave; null: no cap.")
    median_seconds = serializers.FloatField(allow_null=True, help_text="Per task, over the last 100.")
    qualification = Qualification(
        allow_null=True, help_text="Null for those who need not qualify (any more)."
    )


class LastAnswer(serializers.Serializer[Any]):
    id = serializers.UUIDField(source="shown.id", help_text="Of the assignment, to revise.")
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
    score = serializers.FloatField(help_text="0 to 1: the share of the pairs that are right; a tie is half.")
    tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    right_tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    pairs = FeedbackPair(many=True, help_text="Those in which the right answer puts one above the other.")
    passed = serializers.BooleanField(allow_null=True, help_text="Null while the attempt goes on.")
    attempt_score = serializers.FloatField(allow_null=True)
    pass_mark = serializers.FloatField(allow_null=True)
    attempts_left = serializers.IntegerField(
        allow_null=True, help_text="After an attempt that failed: how many more there are."
    )
