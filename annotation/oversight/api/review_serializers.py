"""Serializers for reviews of tasks on which annotators disagree."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.serializers import excerpt_of
from annotation.desk.api.serializers import Answer, Assignment


class ReviewWaiting(serializers.Serializer[models.TaskAgreement]):
    task = serializers.UUIDField(source="task_id")
    excerpt = serializers.SerializerMethodField(help_text="The start of the prompt's last message.")
    agreement = serializers.FloatField(help_text="Share of annotator pairs that agree, 0 to 1.")
    rankings = serializers.IntegerField()
    held_by = serializers.CharField(allow_null=True, help_text="The reviewer who has the task open.")

    def get_excerpt(self, row: models.TaskAgreement) -> str:
        return excerpt_of(row.task)


class ReviewDecided(serializers.Serializer[models.Ranking]):
    task = serializers.UUIDField(source="task_id")
    excerpt = serializers.SerializerMethodField(help_text="The start of the prompt's last message.")
    decided_by = serializers.CharField(source="annotator.username")
    decided_at = serializers.DateTimeField(source="created_at")

    def get_excerpt(self, row: models.Ranking) -> str:
        return excerpt_of(row.task)


class ReviewQueue(serializers.Serializer[Any]):
    """The waiting tasks with the lowest agreement, and the newest decisions. The `n_…` fields count all
    tasks and decisions."""

    n_waiting = serializers.IntegerField()
    waiting = ReviewWaiting(many=True)
    n_decided = serializers.IntegerField()
    decided = ReviewDecided(many=True)


class AnswerGiven(serializers.Serializer[models.Ranking]):
    id = serializers.UUIDField()
    by = serializers.SerializerMethodField(help_text="A username, or the name in an imported file.")
    tiers = serializers.ListField(child=serializers.ListField(child=serializers.UUIDField()))
    strength = serializers.IntegerField(allow_null=True)
    ratings = serializers.DictField()
    flags = serializers.DictField()
    choices = serializers.DictField()
    confidence = serializers.IntegerField(allow_null=True)
    not_rankable = serializers.BooleanField()
    all_bad = serializers.BooleanField()
    comment = serializers.CharField(allow_blank=True)
    rewrite = serializers.CharField(allow_blank=True, allow_null=True)
    created_at = serializers.DateTimeField()

    def get_by(self, ranking: models.Ranking) -> str:
        return ranking.annotator.username if ranking.annotator else ranking.annotator_label


class ReviewShown(serializers.Serializer[Any]):
    assignment = Assignment(help_text="The reviewer's hold on the task, in the format of a lease.")
    answers = AnswerGiven(many=True)
    decision = AnswerGiven(allow_null=True)


class Decision(Answer):
    token = serializers.UUIDField()
