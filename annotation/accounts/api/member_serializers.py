"""Serializers for project members."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.models.project import (
    Role,
)


class Member(serializers.Serializer[models.Membership]):
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)
    state = serializers.ChoiceField(choices=models.Membership.State.choices)
    paused_reason = serializers.CharField(allow_blank=True)
    qualified_at = serializers.DateTimeField(allow_null=True)
    qualification_attempt = serializers.IntegerField(
        help_text="Number of the current qualification attempt. The member has failed to qualify if this"
        " number exceeds the number of allowed attempts."
    )
    extra_attempts = serializers.IntegerField(help_text="Attempts granted beyond the project's limit.")
    created_at = serializers.DateTimeField()


class NewMember(serializers.Serializer[Any]):
    username = serializers.CharField(max_length=150)
    role = serializers.ChoiceField(choices=Role.choices)
    state = serializers.ChoiceField(
        choices=models.Membership.State.choices,
        required=False,
        help_text="If omitted, a new member becomes active; an existing member's state does not change.",
    )
    paused_reason = serializers.CharField(
        max_length=500, allow_blank=True, default="", help_text="Shown to the paused member."
    )
