"""The user's own account: password, second factor, linked logins and API tokens. Requires a session; API
tokens are refused."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.accounts import tokens
from annotation.accounts.api import login_serializers as shapes
from annotation.accounts.login import passwords, second_factor
from annotation.accounts.login.own_tokens import create_own_token
from annotation.api.base import user_of
from annotation.api.pages import NewestFirst
from annotation.models import ApiToken


class AccountView(APIView):
    @extend_schema(operation_id="getAccount", responses=shapes.Account, tags=["account"])
    def get(self, request: Request) -> Response:
        user = user_of(request)
        account = {
            "username": user.username,
            "email": user.email,
            "has_password": user.has_usable_password(),
            "second_factor": second_factor.state_of(user),
            "token_max_days": settings.TOKEN_MAX_DAYS,
            "connections": SocialAccount.objects.filter(user=user).order_by("provider"),
        }
        return Response(shapes.Account(account).data)


class PasswordView(APIView):
    @extend_schema(
        operation_id="changePassword",
        description="Ends all of the user's other sessions and revokes all of the user's API tokens.",
        request=shapes.PasswordChange,
        responses={204: None},
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.PasswordChange(data=request.data)
        given.is_valid(raise_exception=True)
        passwords.change_password(request=request._request, user=user_of(request), **given.validated_data)
        return Response(status=HTTPStatus.NO_CONTENT)


class SecondFactorView(APIView):
    @extend_schema(
        operation_id="beginSecondFactor",
        description="Returns a secret for an authenticator app. The second factor stays off until a code"
        " from the app is confirmed.",
        request=shapes.BeginEnrolment,
        responses=shapes.Enrolment,
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.BeginEnrolment(data=request.data)
        given.is_valid(raise_exception=True)
        begun = second_factor.begin_enrolment(
            request=request._request, user=user_of(request), **given.validated_data
        )
        return Response(shapes.Enrolment(begun).data)


class _WithCode(APIView):
    def code(self, request: Request) -> dict[str, Any]:
        given = shapes.Code(data=request.data)
        given.is_valid(raise_exception=True)
        return {"request": request._request, "user": user_of(request), **given.validated_data}


class ConfirmSecondFactorView(_WithCode):
    @extend_schema(
        operation_id="confirmSecondFactor",
        description="Switches the second factor on. The recovery codes are shown only once.",
        request=shapes.Code,
        responses=shapes.RecoveryCodes,
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        codes = second_factor.confirm_enrolment(**self.code(request))
        return Response({"recovery_codes": codes})


class DisableSecondFactorView(_WithCode):
    @extend_schema(
        operation_id="disableSecondFactor",
        description="Switches the second factor off. Requires a code from the app or a recovery code.",
        request=shapes.Code,
        responses={204: None},
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        second_factor.disable(**self.code(request))
        return Response(status=HTTPStatus.NO_CONTENT)


class RecoveryCodesView(_WithCode):
    @extend_schema(
        operation_id="replaceRecoveryCodes",
        description="Creates new recovery codes. The old codes stop working.",
        request=shapes.Code,
        responses=shapes.RecoveryCodes,
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        codes = second_factor.replace_recovery_codes(**self.code(request))
        return Response({"recovery_codes": codes})


class TokensView(GenericAPIView[ApiToken]):
    pagination_class = NewestFirst

    @extend_schema(
        operation_id="listTokens",
        description="Your API tokens, including revoked and expired ones, newest first.",
        responses=shapes.Token(many=True),
        tags=["account"],
    )
    def get(self, request: Request) -> Response:
        page: Any = self.paginate_queryset(ApiToken.objects.filter(user=user_of(request)))
        return self.get_paginated_response(shapes.Token(page, many=True).data)

    @extend_schema(
        operation_id="createToken",
        description="Creates an API token. Only this response contains the token's text. Requires a code if"
        " the second factor is on, and otherwise the password. If the account has neither a second factor nor"
        " a password, the user must have logged in within the last 15 minutes.",
        request=shapes.NewToken,
        responses={201: shapes.CreatedToken},
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.NewToken(data=request.data)
        given.is_valid(raise_exception=True)
        row, text = create_own_token(request=request._request, user=user_of(request), **given.validated_data)
        shown = shapes.Token(row).data | {"token": text}
        return Response(shown, status=HTTPStatus.CREATED)


class TokenView(APIView):
    @extend_schema(
        operation_id="revokeToken",
        description="Revokes the token with immediate effect. The token stays in the list.",
        responses={204: None},
        tags=["account"],
    )
    def delete(self, request: Request, id: UUID) -> Response:
        own = ApiToken.objects.filter(user=user_of(request))
        tokens.revoke_token(token=get_object_or_404(own, pk=id))
        return Response(status=HTTPStatus.NO_CONTENT)
