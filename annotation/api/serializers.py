"""The shapes of the API. Requests are checked for type here, for meaning by the services."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers

from annotation import models
from annotation.desk import answers
from annotation.forms import answer_form
from annotation.forms.serializers import PRESET_NAMES, FormField
from annotation.models.project import (
    MAX_CHECK_RATE,
    MAX_LEASE_SECONDS,
    MAX_OVERLAP,
    MAX_QUALIFICATION_ATTEMPTS,
    MIN_LEASE_SECONDS,
    Role,
    SkipWay,
)
from annotation.models.task import MAX_PREFETCH, MAX_RESPONSES

MAX_INTEGER = 2**31 - 1


class Message(serializers.Serializer[Any]):
    role = serializers.CharField()
    content = serializers.CharField(allow_blank=True)


class ProjectCounts(serializers.Serializer[models.Project]):
    prompts = serializers.IntegerField(source="n_prompts")
    responses = serializers.IntegerField(source="n_responses")
    tasks = serializers.IntegerField(
        source="n_tasks",
        allow_null=True,
        help_text="Null for annotators of a project that mixes in checks: the numbers would tell them apart.",
    )
    open_tasks = serializers.IntegerField(source="n_open_tasks", allow_null=True, help_text="As `tasks`.")
    rankings = serializers.IntegerField(source="n_rankings")
    comparisons = serializers.IntegerField(source="n_comparisons")
    my_rankings = serializers.IntegerField(source="n_my_rankings")
    open_problems = serializers.IntegerField(
        source="n_open_problems",
        allow_null=True,
        help_text="Reported by annotators and not settled; null for those who don't manage the project.",
    )


class Checks(serializers.Serializer[models.Project]):
    """How annotators are checked."""

    gold_rate = serializers.FloatField(
        min_value=0, max_value=MAX_CHECK_RATE, required=False, help_text="Share of the tasks."
    )
    attention_rate = serializers.FloatField(
        min_value=0, max_value=MAX_CHECK_RATE, required=False, help_text="Share of the tasks."
    )
    gold_minimum_accuracy = serializers.FloatField(
        min_value=0,
        max_value=1,
        allow_null=True,
        required=False,
        help_text="Mean score on gold and attention tasks; who falls under it is paused.",
    )
    gold_minimum_answers = serializers.IntegerField(
        min_value=1, max_value=32767, required=False, help_text="Before anybody is judged."
    )
    qualification_pass_mark = serializers.FloatField(
        min_value=0,
        max_value=1,
        allow_null=True,
        required=False,
        help_text="Mean score on the qualification tasks; null: nobody has to qualify.",
    )
    qualification_attempts = serializers.IntegerField(
        min_value=1, max_value=MAX_QUALIFICATION_ATTEMPTS, required=False
    )
    qualification_tasks = serializers.IntegerField(
        min_value=1,
        max_value=32767,
        allow_null=True,
        required=False,
        help_text="Of one attempt, where there are more: another attempt begins with those not given out"
        " before, whose right answers nobody has told. Null: all of them in each.",
    )


def _skip_ways(**options: Any) -> serializers.ListField:
    return serializers.ListField(
        child=serializers.ChoiceField(choices=SkipWay.choices),
        help_text="Where a skipped task may go; the first unless the annotator chooses.",
        **options,
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
        help_text="Reviewers are shown tasks whose annotators agree less than this; 0: none."
    )
    max_per_annotator = serializers.IntegerField(allow_null=True)
    max_per_annotator_per_day = serializers.IntegerField(allow_null=True)
    skip_ways = _skip_ways()
    checks = Checks(source="*", allow_null=True, help_text="Null for annotators.")
    member_state = serializers.ChoiceField(
        choices=models.Membership.State.choices, allow_null=True, help_text="Of the one who asks."
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
    guidelines = serializers.CharField(allow_blank=True, required=False)


class ProjectChanges(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=200, required=False)
    guidelines = serializers.CharField(allow_blank=True, required=False)
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


class Member(serializers.Serializer[models.Membership]):
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)
    state = serializers.ChoiceField(choices=models.Membership.State.choices)
    paused_reason = serializers.CharField(allow_blank=True)
    qualified_at = serializers.DateTimeField(allow_null=True)
    qualification_attempt = serializers.IntegerField(
        help_text="The one they are in; above the number of attempts: they failed."
    )
    extra_attempts = serializers.IntegerField(help_text="Granted beyond the project's number.")
    created_at = serializers.DateTimeField()


class NewMember(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=Role.choices)
    state = serializers.ChoiceField(
        choices=models.Membership.State.choices,
        required=False,
        help_text="Without it a new member is active, and one there is stays as they are.",
    )
    paused_reason = serializers.CharField(
        max_length=500, allow_blank=True, default="", help_text="Told to the one who is paused."
    )


class Day(serializers.Serializer[Any]):
    date = serializers.DateField()
    rankings = serializers.IntegerField()


class AnnotatorProgress(serializers.Serializer[Any]):
    username = serializers.CharField()
    rankings = serializers.IntegerField()
    median_seconds = serializers.FloatField(allow_null=True)


class Progress(serializers.Serializer[Any]):
    tasks = serializers.IntegerField()
    open = serializers.IntegerField()
    done = serializers.IntegerField()
    rankings = serializers.IntegerField()
    comparisons = serializers.IntegerField()
    per_day = Day(many=True)
    annotators = AnnotatorProgress(many=True)


class PromptShown(serializers.Serializer[Any]):
    messages = Message(many=True)


class TaskShown(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    prompt = PromptShown()


class ResponseShown(serializers.Serializer[Any]):
    """Text and id alone: who wrote a response would sway who judges it."""

    id = serializers.UUIDField()
    text = serializers.CharField(allow_blank=True)


class Few(serializers.DictField):
    """A map of so few entries that a problem with each can be reported."""

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        if isinstance(data, dict) and len(data) > answer_form.MAX_CHOICES:
            reason = f"It has {len(data)} entries; it takes at most {answer_form.MAX_CHOICES}."
            raise serializers.ValidationError(reason)
        given: dict[Any, Any] = super().to_internal_value(data)
        return given


class ByResponse(Few):
    """A map keyed by response id."""

    def to_internal_value(self, data: Any) -> dict[UUID, Any]:
        given = super().to_internal_value(data)
        keyed: dict[UUID, Any] = {}
        for key, value in given.items():
            try:
                response = UUID(key)
            except ValueError:
                raise serializers.ValidationError({key: "This is not the id of a response."}) from None
            if response in keyed:
                raise serializers.ValidationError({key: "This response is named twice."})
            keyed[response] = value
        return keyed


class Answer(serializers.Serializer[Any]):
    tiers = serializers.ListField(
        child=serializers.ListField(child=serializers.UUIDField(), max_length=MAX_RESPONSES),
        max_length=MAX_RESPONSES,
        default=list,
        help_text="Response ids, best first; those in one tier are tied. Where the form asks for the best "
        "few only, the others are left out.",
    )
    strength = serializers.IntegerField(allow_null=True, default=None)
    ratings = ByResponse(child=Few(child=serializers.IntegerField()), default=dict)
    flags = ByResponse(
        child=serializers.ListField(child=serializers.CharField(max_length=60), max_length=30), default=dict
    )
    choices = Few(child=serializers.CharField(max_length=60), default=dict, help_text="{question: choice}")
    confidence = serializers.IntegerField(allow_null=True, default=None)
    not_rankable = serializers.BooleanField(default=False)
    all_bad = serializers.BooleanField(default=False)
    comment = serializers.CharField(
        allow_blank=True, default="", max_length=answers.MAX_COMMENT_CHARACTERS, trim_whitespace=False
    )
    rewrite = serializers.CharField(
        allow_blank=True,
        allow_null=True,
        default=None,
        max_length=answers.MAX_REWRITE_CHARACTERS,
        trim_whitespace=False,
    )
    touched = serializers.BooleanField(default=False, help_text="Whether the shown order was changed at all.")
    duration_ms = serializers.IntegerField(allow_null=True, default=None)

    def answer(self) -> answers.Answer:
        return answers.Answer(
            **{name: self.validated_data[name] for name in answers.Answer.__dataclass_fields__}
        )


class Submission(Answer):
    token = serializers.UUIDField()


class DraftField(serializers.DictField):
    """Whatever the page needs to go on later; an answer in the making, by custom."""


class Assignment(serializers.Serializer[models.Assignment]):
    id = serializers.UUIDField()
    token = serializers.UUIDField()
    expires_at = serializers.DateTimeField()
    task = TaskShown()
    responses = ResponseShown(many=True, source="shown_responses", help_text="In the order to show them in.")
    form = FormField(
        source="form_version.form", help_text="What is asked of this task, whatever the project asks by now."
    )
    draft = DraftField(allow_null=True)
    draft_version = serializers.IntegerField(help_text="To send with the next draft.")
    practice = serializers.BooleanField(
        source="is_practice", help_text="A task to qualify with: answered, its feedback says what was right."
    )


class NextAssignment(Assignment):
    prefetched = Assignment(
        many=True, help_text="Those that come after it, as many as were asked for and there are."
    )


class Next(serializers.Serializer[Any]):
    prefetch = serializers.IntegerField(
        min_value=0,
        max_value=MAX_PREFETCH,
        default=0,
        help_text="How many further tasks to lease at once. They come next, or are released like any lease.",
    )


class LeaseToken(serializers.Serializer[Any]):
    token = serializers.UUIDField()


class Draft(LeaseToken):
    version = serializers.IntegerField(min_value=0, max_value=2**31 - 2)
    draft = DraftField()


class DraftVersion(serializers.Serializer[Any]):
    version = serializers.IntegerField()


class Skip(LeaseToken):
    reason = serializers.CharField(max_length=500, allow_blank=True, default="")
    way = serializers.ChoiceField(
        choices=SkipWay.choices,
        required=False,
        help_text="Where the task goes, one of the project's `skip_ways`; the first of them unless given.",
    )


class Lease(serializers.Serializer[Any]):
    expires_at = serializers.DateTimeField()


class RankingId(serializers.Serializer[Any]):
    id = serializers.UUIDField()


class Credentials(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    password = serializers.CharField(max_length=1000, trim_whitespace=False)


class MembershipOfMe(serializers.Serializer[models.Membership]):
    project = serializers.SlugField(source="project.slug")
    role = serializers.ChoiceField(choices=Role.choices)
    state = serializers.ChoiceField(choices=models.Membership.State.choices)


class Me(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    username = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    is_admin = serializers.BooleanField()
    csrf_token = serializers.CharField(help_text="To send as X-CSRFToken with unsafe requests.")
    memberships = MembershipOfMe(many=True)
