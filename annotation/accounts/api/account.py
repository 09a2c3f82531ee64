"""One's own account: password, second factor, connected log-ins, API tokens. For sessions, not for tokens."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any
from uuid import UUID

from allauth.socialaccount.models import SocialAccount
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.accounts import tokens
from annotation.accounts.api import login_serializers as shapes
from annotation.accounts.login import passwords, second_factor
from annotation.api.base import NewestFirst, user_of
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
            "connections": SocialAccount.objects.filter(user=user).order_by("provider"),
        }
        return Response(shapes.Account(account).data)


class PasswordView(APIView):
    @extend_schema(
        operation_id="changePassword",
        description="Every other session of the user ends.",
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
        description="A secret for an authenticator app. Nothing is on before a code of it was sent.",
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
        description="Switches it on; the recovery codes are shown this once.",
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
        description="With a code of the app or a recovery code.",
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
        description="New recovery codes; the old ones work no longer.",
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
        description="One's own API tokens, those revoked or expired too, newest first.",
        responses=shapes.Token(many=True),
        tags=["account"],
    )
    def get(self, request: Request) -> Response:
        page: Any = self.paginate_queryset(ApiToken.objects.filter(user=user_of(request)))
        return self.get_paginated_response(shapes.Token(page, many=True).data)

    @extend_schema(
        operation_id="createToken",
        description="A new API token. This answer is the only place where it can be read.",
        request=shapes.NewToken,
        responses={201: shapes.CreatedToken},
        tags=["account"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.NewToken(data=request.data)
        given.is_valid(raise_exception=True)
        row, text = tokens.create_token(user=user_of(request), **given.validated_data)
        shown = shapes.Token(row).data | {"token": text}
        return Response(shown, status=HTTPStatus.CREATED)


class TokenView(APIView):
    @extend_schema(
        operation_id="revokeToken",
        description="From the next request on it opens nothing. It stays in the list.",
        responses={204: None},
        tags=["account"],
    )
    def delete(self, request: Request, id: UUID) -> Response:
        own = ApiToken.objects.filter(user=user_of(request))
        tokens.revoke_token(token=get_object_or_404(own, pk=id))
        return Response(status=HTTPStatus.NO_CONTENT)
