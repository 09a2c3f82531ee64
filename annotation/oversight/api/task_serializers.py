"""Serializers for tasks as managers see them."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.parameters import Query
from annotation.api.serializers import MAX_INTEGER, PromptShown
from annotation.content.task_changes import SETTABLE_STATES
from annotation.models import RankingTask
from annotation.models.content import Split
from preferences.text import MAX_RESPONSES


class PromptOfTask(PromptShown):
    split = serializers.ChoiceField(choices=Split.choices)
    metadata = serializers.DictField()


class TaskResponse(serializers.Serializer[models.Response]):
    id = serializers.UUIDField()
    text = serializers.CharField(allow_blank=True)
    model_name = serializers.CharField(allow_blank=True)


class TaskFacts(serializers.Serializer[models.RankingTask]):
    """The fields of a task that all lists and pages show."""

    id = serializers.UUIDField()
    kind = serializers.ChoiceField(choices=models.RankingTask.Kind.choices)
    state = serializers.ChoiceField(choices=models.RankingTask.State.choices)
    priority = serializers.IntegerField()
    round = serializers.IntegerField()
    overlap = serializers.IntegerField()
    answered = serializers.IntegerField()
    open_slots = serializers.IntegerField()
    reserved = serializers.BooleanField(
        help_text="True if only certain annotators get the task, because it is reserved for them."
    )
    created_at = serializers.DateTimeField()


class Task(TaskFacts):
    gold_tiers = serializers.ListField(
        child=serializers.ListField(child=serializers.UUIDField()), allow_null=True
    )
    prompt = PromptOfTask()


class TaskDetail(Task):
    responses = TaskResponse(many=True)
    agreement = serializers.FloatField(
        source="agreement.agreement",
        allow_null=True,
        help_text="Share of annotator pairs that agree; null with fewer than two annotators.",
    )
    metadata = serializers.DictField(help_text="Other columns of the imported row.")


class TaskChanges(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(
        choices=models.RankingTask.Kind.choices,
        required=False,
        help_text="A kind other than `ranking` makes the task a check. A check is served to every annotator,"
        " and the answers to a check are scored.",
    )
    gold_tiers = serializers.ListField(
        child=serializers.ListField(child=serializers.UUIDField(), max_length=MAX_RESPONSES),
        max_length=MAX_RESPONSES,
        required=False,
        help_text="The correct answer: all responses of the task in tiers, best first.",
    )
    priority = serializers.IntegerField(min_value=-MAX_INTEGER, max_value=MAX_INTEGER, required=False)
    state = serializers.ChoiceField(choices=SETTABLE_STATES, required=False)


KINDS = [choice for choice in RankingTask.Kind.choices if RankingTask.Kind(choice[0]).is_check]


class Check(Task):
    n_scored = serializers.IntegerField(help_text="Number of scored answers.")
    mean_score = serializers.FloatField(
        allow_null=True, help_text="Mean score, 0 to 1; null if nobody has answered yet."
    )


class CheckFilter(Query):
    kind = serializers.ChoiceField(choices=KINDS, required=False)
