"""Serializers for projects and their settings."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.serializers import MAX_INTEGER
from annotation.forms.serializers import PRESET_NAMES, FormField
from annotation.models.project import (
    MAX_CHECK_RATE,
    MAX_GUIDELINES_CHARACTERS,
    MAX_LEASE_SECONDS,
    MAX_OVERLAP,
    MAX_QUALIFICATION_ATTEMPTS,
    MIN_LEASE_SECONDS,
    Role,
    SkipWay,
)


class ProjectCounts(serializers.Serializer[models.Project]):
    prompts = serializers.IntegerField(source="n_prompts")
    responses = serializers.IntegerField(source="n_responses")
    tasks = serializers.IntegerField(
        source="n_tasks",
        allow_null=True,
        help_text="Null for annotators if the project has checks, because the numbers would reveal"
        " the checks.",
    )
    open_tasks = serializers.IntegerField(source="n_open_tasks", allow_null=True, help_text="As `tasks`.")
    rankings = serializers.IntegerField(source="n_rankings")
    comparisons = serializers.IntegerField(source="n_comparisons")
    my_rankings = serializers.IntegerField(source="n_my_rankings")
    open_problems = serializers.IntegerField(
        source="n_open_problems",
        allow_null=True,
        help_text="Number of open reports; null for users who are not managers.",
    )


class Checks(serializers.Serializer[models.Project]):
    """How annotators are checked."""

    gold_rate = serializers.FloatField(
        min_value=0,
        max_value=MAX_CHECK_RATE,
        required=False,
        help_text="Share of an annotator's tasks that are gold checks.",
    )
    attention_rate = serializers.FloatField(
        min_value=0,
        max_value=MAX_CHECK_RATE,
        required=False,
        help_text="Share of an annotator's tasks that are attention checks.",
    )
    gold_minimum_accuracy = serializers.FloatField(
        min_value=0,
        max_value=1,
        allow_null=True,
        required=False,
        help_text="An annotator whose mean score on gold and attention tasks falls below this value"
        " is paused.",
    )
    gold_minimum_answers = serializers.IntegerField(
        min_value=1,
        max_value=32767,
        required=False,
        help_text="Number of checks that an annotator must answer before the minimum applies.",
    )
    qualification_pass_mark = serializers.FloatField(
        min_value=0,
        max_value=1,
        allow_null=True,
        required=False,
        help_text="Required mean score on the qualification tasks; null: no qualification.",
    )
    qualification_attempts = serializers.IntegerField(
        min_value=1, max_value=MAX_QUALIFICATION_ATTEMPTS, required=False
    )
    qualification_tasks = serializers.IntegerField(
        min_value=1,
        max_value=32767,
        allow_null=True,
        required=False,
        help_text="Number of tasks in a qualification attempt. A later attempt starts with unused"
        " tasks, whose correct answers have not been shown. Null: each attempt has all qualification"
        " tasks.",
    )


def _skip_ways(**options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.ChoiceField(choices=SkipWay.choices),
        help_text="Allowed ways to skip a task. The first way is the default.",
        **options,
    )


def _guidelines() -> serializers.CharField:
    return serializers.CharField(
        max_length=MAX_GUIDELINES_CHARACTERS, allow_blank=True, required=False, help_text="Markdown."
    )


class Project(serializers.Serializer[models.Project]):
    id = serializers.UUIDField()
    slug = serializers.CharField()
    name = serializers.CharField()
    guidelines = serializers.CharField()
    state = serializers.ChoiceField(choices=models.Project.State.choices)
    role = serializers.ChoiceField(choices=Role.choices, allow_null=True)
    preset = serializers.CharField()
    form = FormField()
    overlap = serializers.IntegerField()
    lease_seconds = serializers.IntegerField()
    allocation_policy = serializers.ChoiceField(choices=models.Project.AllocationPolicy.choices)
    review_below = serializers.FloatField(
        help_text="Tasks whose agreement is below this value go to review. With 0, no tasks go to review."
    )
    max_per_annotator = serializers.IntegerField(allow_null=True)
    max_per_annotator_per_day = serializers.IntegerField(allow_null=True)
    skip_ways = _skip_ways()
    checks = Checks(source="*", allow_null=True, help_text="Null for annotators.")
    member_state = serializers.ChoiceField(
        choices=models.Membership.State.choices, allow_null=True, help_text="The state of your membership."
    )
    paused_reason = serializers.CharField(allow_null=True, allow_blank=True)
    created_at = serializers.DateTimeField()
    counts = ProjectCounts(source="*")

    def to_representation(self, instance: models.Project) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if shown["role"] in (Role.ANNOTATOR, Role.REVIEWER):
            shown["counts"]["open_problems"] = None
        if shown["role"] == Role.ANNOTATOR:
            shown["checks"] = None
            if instance.gold_rate + instance.attention_rate > 0:
                shown["counts"] |= {"tasks": None, "open_tasks": None}
        return shown


class NewProject(serializers.Serializer[Any]):
    slug = serializers.SlugField(max_length=80)
    name = serializers.CharField(max_length=200, required=False)
    preset = serializers.ChoiceField(choices=PRESET_NAMES, required=False)
    overlap = serializers.IntegerField(min_value=1, max_value=MAX_OVERLAP, required=False)
    guidelines = _guidelines()


class ProjectChanges(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False)
    guidelines = _guidelines()
    form = FormField(required=False)
    overlap = serializers.IntegerField(min_value=1, max_value=MAX_OVERLAP, required=False)
    lease_seconds = serializers.IntegerField(
        min_value=MIN_LEASE_SECONDS, max_value=MAX_LEASE_SECONDS, required=False
    )
    allocation_policy = serializers.ChoiceField(
        choices=models.Project.AllocationPolicy.choices, required=False
    )
    review_below = serializers.FloatField(min_value=0, max_value=1, required=False)
    state = serializers.ChoiceField(choices=models.Project.State.choices, required=False)
    max_per_annotator = serializers.IntegerField(
        min_value=1, max_value=MAX_INTEGER, allow_null=True, required=False
    )
    max_per_annotator_per_day = serializers.IntegerField(
        min_value=1, max_value=MAX_INTEGER, allow_null=True, required=False
    )
    skip_ways = _skip_ways(min_length=1, max_length=len(SkipWay), required=False)
    checks = Checks(source="*", required=False)
