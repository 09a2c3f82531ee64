"""Serializers for invitations."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.accounts.api.login_serializers import Password
from annotation.accounts.invitations import DEFAULT_DAYS
from annotation.models.invitation import MAX_DAYS
from annotation.models.project import Role

MAX_TOKEN_CHARACTERS = 200


class NewInvitation(serializers.Serializer[Any]):
    role = serializers.ChoiceField(choices=Role.choices)
    days = serializers.IntegerField(
        min_value=1,
        max_value=MAX_DAYS,
        default=DEFAULT_DAYS,
        help_text="Number of days for which the invitation is valid.",
    )
    note = serializers.CharField(
        max_length=200,
        allow_blank=True,
        default="",
        help_text="A note on the invited person, visible only to managers.",
    )


class Invitation(serializers.Serializer[models.Invitation]):
    id = serializers.UUIDField()
    role = serializers.ChoiceField(choices=Role.choices)
    note = serializers.CharField(allow_blank=True)
    state = serializers.ChoiceField(choices=models.Invitation.State.choices)
    created_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField()
    accepted_by = serializers.CharField(source="accepted_by.username", default=None, allow_null=True)
    accepted_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class InvitationWithToken(serializers.Serializer[Any]):
    invitation = Invitation()
    token = serializers.CharField(help_text="Shown only once.")


class InvitationToken(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=MAX_TOKEN_CHARACTERS)


class InvitedTo(serializers.Serializer[models.Invitation]):
    project = serializers.CharField(source="project.slug")
    name = serializers.CharField(source="project.name")
    role = serializers.ChoiceField(choices=Role.choices)
    invited_by = serializers.CharField(source="created_by.username", default=None, allow_null=True)
    expires_at = serializers.DateTimeField()


class NewAccount(InvitationToken):
    username = serializers.CharField(max_length=150)
    password = Password()
