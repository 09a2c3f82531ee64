"""What annotators see of their own work, practice, and what they report of tasks."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.serializers import Answer, ResponseShown, TaskShown
from annotation.desk.practice import Said
from annotation.forms.serializers import FormField
from annotation.models.task_problem import MAX_TEXT_CHARACTERS
from annotation.oversight.api.oversight_serializers import excerpt_of


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


class NewTaskProblem(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=models.TaskProblem.Kind.choices)
    text = serializers.CharField(max_length=MAX_TEXT_CHARACTERS, allow_blank=True, default="")


class TaskProblemId(serializers.Serializer[models.TaskProblem]):
    id = serializers.UUIDField()


class TaskProblemsSought(serializers.Serializer[Any]):
    state = serializers.ChoiceField(choices=["open", "settled"], required=False)
    task = serializers.UUIDField(required=False)


class Settling(serializers.Serializer[Any]):
    note = serializers.CharField(
        max_length=MAX_TEXT_CHARACTERS, allow_blank=True, default="", help_text="What came of it."
    )
    text = serializers.CharField(
        max_length=MAX_TEXT_CHARACTERS,
        allow_blank=True,
        required=False,
        trim_whitespace=False,
        help_text="The report's, as it was read: if it says something else by now, it is not settled.",
    )


class TaskProblem(serializers.Serializer[models.TaskProblem]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=models.TaskProblem.Kind.choices)
    text = serializers.CharField(allow_blank=True)
    annotator = serializers.CharField(source="annotator.username")
    task = serializers.UUIDField(source="task_id")
    task_state = serializers.ChoiceField(source="task.state", choices=models.RankingTask.State.choices)
    excerpt = serializers.SerializerMethodField(help_text="How the task's conversation ends.")
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True, help_text="Null: it is to settle.")
    settled_by = serializers.CharField(source="settled_by.username", allow_null=True, default=None)
    note = serializers.CharField(allow_blank=True, help_text="What came of it.")

    def get_excerpt(self, problem: models.TaskProblem) -> str:
        return excerpt_of(problem.task)
