"""Serializers for task problems: annotators report the problems, and managers resolve the reports."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.parameters import Query
from annotation.api.serializers import excerpt_of
from annotation.models.task_problem import MAX_TEXT_CHARACTERS


class NewTaskProblem(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(choices=models.TaskProblem.Kind.choices)
    text = serializers.CharField(max_length=MAX_TEXT_CHARACTERS, allow_blank=True, default="")


class TaskProblemId(serializers.Serializer[models.TaskProblem]):
    id = serializers.UUIDField()


class TaskProblemsSought(Query):
    state = serializers.ChoiceField(choices=["open", "settled"], required=False)
    task = serializers.UUIDField(required=False)


class Settling(serializers.Serializer[Any]):
    note = serializers.CharField(
        max_length=MAX_TEXT_CHARACTERS,
        allow_blank=True,
        default="",
        help_text="How the problem was resolved.",
    )
    text = serializers.CharField(
        max_length=MAX_TEXT_CHARACTERS,
        allow_blank=True,
        required=False,
        trim_whitespace=False,
        help_text="The report's text as you read it. If the stored text differs, the report is not resolved.",
    )


class TaskProblem(serializers.Serializer[models.TaskProblem]):
    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=models.TaskProblem.Kind.choices)
    text = serializers.CharField(allow_blank=True)
    annotator = serializers.CharField(source="annotator.username")
    task = serializers.UUIDField(source="task_id")
    task_state = serializers.ChoiceField(source="task.state", choices=models.RankingTask.State.choices)
    excerpt = serializers.SerializerMethodField(help_text="The start of the prompt's last message.")
    created_at = serializers.DateTimeField()
    settled_at = serializers.DateTimeField(allow_null=True, help_text="Null: not resolved.")
    settled_by = serializers.CharField(source="settled_by.username", allow_null=True, default=None)
    note = serializers.CharField(allow_blank=True, help_text="How the problem was resolved.")

    def get_excerpt(self, problem: models.TaskProblem) -> str:
        return excerpt_of(problem.task)
