"""Serializers for exclusions of annotators and for previews of exclusions."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.models.exclusion import MAX_REASON_CHARACTERS


class WhoRanked(serializers.Serializer[Any]):
    """Either a user of the project or a name from an imported file."""

    username = serializers.CharField(max_length=150, required=False)
    annotator_label = serializers.CharField(max_length=200, required=False)


class NewExclusion(WhoRanked):
    reason = serializers.CharField(max_length=MAX_REASON_CHARACTERS)


class ExclusionEffect(serializers.Serializer[Any]):
    rankings = serializers.IntegerField(help_text="Number of annotations that would no longer count.")
    comparisons = serializers.IntegerField()
    reviews = serializers.IntegerField(help_text="Number of reviewer decisions that would no longer count.")
    tasks_reopening = serializers.IntegerField(
        help_text="Number of finished tasks that would be served again."
    )
    leases = serializers.IntegerField(help_text="Number of leases that would be released.")
    snapshots = serializers.IntegerField(
        help_text="Number of snapshots frozen since the annotator's first ranking. Snapshots never change,"
        " so those snapshots can still contain the annotator's rankings after an exclusion."
    )


class Exclusion(serializers.Serializer[models.Exclusion]):
    id = serializers.UUIDField()
    username = serializers.CharField(source="annotator.username", default="", allow_blank=True)
    annotator_label = serializers.CharField(allow_blank=True)
    reason = serializers.CharField()
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    lifted_by = serializers.CharField(source="lifted_by.username", default=None, allow_null=True)
    lifted_at = serializers.DateTimeField(allow_null=True)


class LiftedExclusion(serializers.Serializer[Any]):
    exclusion = Exclusion()
    tasks_with_more_overlap = serializers.IntegerField(
        help_text="Number of tasks in which another annotator has filled the excluded answer's slot."
        " Such a task keeps the answers of both annotators."
    )


class LiftEffect(serializers.Serializer[Any]):
    rankings = serializers.IntegerField(help_text="Number of annotations that would count again.")
    comparisons = serializers.IntegerField()
    reviews = serializers.IntegerField(help_text="Number of reviewer decisions that would count again.")
    tasks_with_more_overlap = serializers.IntegerField(
        help_text="Number of tasks in which another annotator has filled the excluded answer's slot."
        " Such a task would keep the answers of both annotators."
    )
