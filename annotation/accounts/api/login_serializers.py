"""Serializers for login and the user's own account."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from annotation import models
from annotation.api.parameters import Query
from annotation.models.people import Scope
from annotation.models.project import (
    Role,
)

MAX_PASSWORD_CHARACTERS = 1000


MAX_CODE_CHARACTERS = 40

# The longest authorization codes, such as those of Microsoft Entra ID, have about 2,000 characters.
MAX_OIDC_CHARACTERS = 8_000


class Password(serializers.CharField):
    def __init__(self, **settings: Any) -> None:
        super().__init__(max_length=MAX_PASSWORD_CHARACTERS, trim_whitespace=False, **settings)


class CodeStep(serializers.Serializer[Any]):
    next_step = serializers.ChoiceField(
        choices=[("code", "code")], help_text="Send a code from the authenticator app, or a recovery code."
    )


class Code(serializers.Serializer[Any]):
    code = serializers.CharField(
        max_length=MAX_CODE_CHARACTERS, help_text="A code from the authenticator app, or a recovery code."
    )


class PasswordReset(serializers.Serializer[Any]):
    token = serializers.CharField(max_length=200, help_text="The part of the reset link after #.")
    password = Password()


class Provider(serializers.Serializer[Any]):
    id = serializers.CharField()
    name = serializers.CharField()


class BeginOidc(serializers.Serializer[Any]):
    provider = serializers.CharField(max_length=30)
    next = serializers.CharField(
        max_length=2000,
        default="/",
        allow_blank=True,
        help_text="The page on this site to return to after logging in.",
    )


class OidcAnswer(Query):
    """The provider sends the browser to the callback with these parameters, and possibly others."""

    state = serializers.CharField(default="", max_length=MAX_OIDC_CHARACTERS)
    code = serializers.CharField(default="", max_length=MAX_OIDC_CHARACTERS, help_text="Read by allauth.")
    error = serializers.CharField(default="", max_length=MAX_OIDC_CHARACTERS)


class Redirect(serializers.Serializer[Any]):
    location = serializers.CharField(help_text="The provider's URL, to which the browser must be redirected.")


class SecondFactor(serializers.Serializer[Any]):
    enabled = serializers.BooleanField()
    recovery_codes_left = serializers.IntegerField()
    unreadable = serializers.BooleanField(
        help_text="True if the second factor can't be decrypted; an administrator must then reset it."
    )


class Connection(serializers.Serializer[Any]):
    provider = serializers.CharField()
    connected_at = serializers.DateTimeField(source="date_joined")


class Account(serializers.Serializer[Any]):
    username = serializers.CharField()
    email = serializers.CharField(allow_blank=True)
    has_password = serializers.BooleanField(
        help_text="If false, the account can log in only through a provider."
    )
    second_factor = SecondFactor()
    token_max_days = serializers.IntegerField(
        allow_null=True,
        help_text="The maximum lifetime of an API token, in days. Null: tokens need not expire.",
    )
    connections = Connection(many=True)


class PasswordChange(serializers.Serializer[Any]):
    current = Password(
        allow_blank=True, help_text="The current password; can be empty if the account has none."
    )
    new = Password()


class BeginEnrolment(serializers.Serializer[Any]):
    password = Password(
        allow_blank=True, help_text="The current password; can be empty if the account has none."
    )


class Enrolment(serializers.Serializer[Any]):
    secret = serializers.CharField(help_text="The secret, to be entered in the app manually.")
    uri = serializers.CharField(help_text="The content of the QR code: otpauth://…")
    qr_svg = serializers.CharField()


class RecoveryCodes(serializers.Serializer[Any]):
    recovery_codes = serializers.ListField(
        child=serializers.CharField(), help_text="Each code works once. The codes are shown only once."
    )


class Token(serializers.Serializer[models.ApiToken]):
    id = serializers.UUIDField()
    name = serializers.CharField()
    prefix = serializers.CharField(help_text="The token's first characters, which identify it in lists.")
    scopes = serializers.ListField(child=serializers.ChoiceField(choices=Scope.choices))
    created_at = serializers.DateTimeField()
    expires_at = serializers.DateTimeField(allow_null=True)
    last_used_at = serializers.DateTimeField(allow_null=True)
    revoked_at = serializers.DateTimeField(allow_null=True)


class NewToken(serializers.Serializer[Any]):
    name = serializers.CharField(max_length=100)
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), min_length=1, max_length=len(Scope)
    )
    expires_at = serializers.DateTimeField(
        required=False,
        allow_null=True,
        help_text="Default: 90 days from now, or `token_max_days` days if that is sooner. Null (never) is"
        " allowed only if the account's `token_max_days` is null.",
    )
    password = Password(
        default="",
        allow_blank=True,
        help_text="Required if the second factor is off and the account has a password.",
    )
    code = serializers.CharField(
        default="",
        allow_blank=True,
        max_length=MAX_CODE_CHARACTERS,
        help_text="A code from the authenticator app, or a recovery code. Required if the second factor is"
        " on.",
    )


class CreatedToken(Token):
    token = serializers.CharField(
        help_text="The token's text, shown only once. The database stores only a digest of the text."
    )


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
    csrf_token = serializers.CharField(
        help_text="Send this value in the X-CSRFToken header of unsafe requests."
    )
    memberships = MembershipOfMe(many=True)
