"""Serializers for assignments, answers and drafts. Serializers check types; services validate values."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from rest_framework import serializers

from annotation.api.serializers import PromptShown
from annotation.desk import answers
from annotation.forms import answer_form
from annotation.forms.serializers import FormField
from annotation.models.project import (
    SkipWay,
)
from annotation.models.ranking import MAX_COMMENT_CHARACTERS, MAX_REWRITE_CHARACTERS
from annotation.models.task import MAX_PREFETCH
from preferences.text import MAX_RESPONSES


class TaskShown(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    prompt = PromptShown()


class ResponseShown(serializers.Serializer[Any]):
    """Contains only a response's text and ID, because the model's name would bias the annotator."""

    id = serializers.UUIDField()
    text = serializers.CharField(allow_blank=True)


class Few(serializers.DictField):
    """A map with a limited number of entries. The limit is needed because a problem is reported for each
    invalid entry."""

    def to_internal_value(self, data: Any) -> dict[Any, Any]:
        if isinstance(data, dict) and len(data) > answer_form.MAX_CHOICES:
            reason = f"This field has {len(data)} entries; at most {answer_form.MAX_CHOICES} are allowed."
            raise serializers.ValidationError(reason)
        given: dict[Any, Any] = super().to_internal_value(data)
        return given


class ByResponse(Few):
    """A map keyed by response ID."""

    def to_internal_value(self, data: Any) -> dict[UUID, Any]:
        given = super().to_internal_value(data)
        keyed: dict[UUID, Any] = {}
        for key, value in given.items():
            try:
                response = UUID(key)
            except ValueError:
                raise serializers.ValidationError({key: "This is not a response ID."}) from None
            if response in keyed:
                raise serializers.ValidationError({key: "This response appears twice."})
            keyed[response] = value
        return keyed


class Answer(serializers.Serializer[Any]):
    tiers = serializers.ListField(
        child=serializers.ListField(child=serializers.UUIDField(), max_length=MAX_RESPONSES),
        max_length=MAX_RESPONSES,
        default=list,
        help_text="Response IDs, best first; responses in one tier are tied. If the form asks only"
        " for the best few, omit the other responses.",
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
        allow_blank=True, default="", max_length=MAX_COMMENT_CHARACTERS, trim_whitespace=False
    )
    rewrite = serializers.CharField(
        allow_blank=True,
        allow_null=True,
        default=None,
        max_length=MAX_REWRITE_CHARACTERS,
        trim_whitespace=False,
    )
    touched = serializers.BooleanField(
        default=False, help_text="Whether the annotator changed the order shown."
    )
    duration_ms = serializers.IntegerField(allow_null=True, default=None)

    def answer(self) -> answers.Answer:
        return answers.Answer(
            **{name: self.validated_data[name] for name in answers.Answer.__dataclass_fields__}
        )


class Submission(Answer):
    token = serializers.UUIDField()


class DraftField(serializers.DictField):
    """The state from which the page resumes later, usually an unfinished answer."""


# This serializer only describes the result of `annotation.desk.reads.shown` for the schema. Views send that
# result unchanged.
class Assignment(serializers.Serializer[dict[str, Any]]):
    id = serializers.UUIDField()
    token = serializers.UUIDField()
    expires_at = serializers.DateTimeField()
    task = TaskShown()
    responses = ResponseShown(many=True, help_text="The responses, in the order in which they must be shown.")
    form = FormField(help_text="The form that was shown; the project's form may have changed since.")
    draft = DraftField(allow_null=True)
    draft_version = serializers.IntegerField(help_text="The draft's version, to be sent with the next draft.")
    practice = serializers.BooleanField(
        help_text="True for a qualification task: `getFeedback` returns feedback after the answer."
    )

    def to_representation(self, instance: dict[str, Any]) -> dict[str, Any]:
        return instance


class NextAssignment(Assignment):
    prefetched = Assignment(
        many=True, help_text="The leases that follow the current lease, up to the requested number."
    )


class Next(serializers.Serializer[Any]):
    prefetch = serializers.IntegerField(
        min_value=0,
        max_value=MAX_PREFETCH,
        default=0,
        help_text="Number of further tasks to lease in advance. Prefetched leases expire and are"
        " released like any other lease.",
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
        help_text="The way to skip the task: one of the project's `skip_ways`. Default: the first.",
    )


class Lease(serializers.Serializer[Any]):
    expires_at = serializers.DateTimeField()


class RankingId(serializers.Serializer[Any]):
    id = serializers.UUIDField()
