"""Log in, log out, who am I."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.middleware.csrf import get_token
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.api import serializers
from annotation.api.base import user_of
from annotation.api.throttling import FailedLoginsOfAddress, FailedLoginsOfName
from annotation.models import Membership, User
from config.problems import Problem


def _me(request: Request, user: User) -> Response:
    mine = Membership.objects.filter(user=user).select_related("project").order_by("-id")
    me = {
        "id": user.pk,
        "username": user.username,
        "name": user.get_full_name(),
        "is_admin": user.is_admin,
        "csrf_token": get_token(request._request),
        "memberships": mine,
    }
    return Response(serializers.Me(me).data)


class LoginView(APIView):
    # No authentication: a stale session cookie must not keep its owner from logging in.
    authentication_classes = []
    throttle_classes = [FailedLoginsOfName, FailedLoginsOfAddress]

    @extend_schema(
        operation_id="login", request=serializers.Credentials, responses=serializers.Me, tags=["auth"]
    )
    def post(self, request: Request) -> Response:
        SessionAuthentication().enforce_csrf(request)
        given = serializers.Credentials(data=request.data)
        given.is_valid(raise_exception=True)
        user = authenticate(request._request, **given.validated_data)
        if not isinstance(user, User):
            for throttle in (FailedLoginsOfName(), FailedLoginsOfAddress()):
                throttle.record_failure(request, self)
            raise Problem(
                "The user name or the password is wrong.",
                status=HTTPStatus.BAD_REQUEST,
                type="wrong-credentials",
            )
        login(request._request, user)
        return _me(request, user)


class LogoutView(APIView):
    @extend_schema(operation_id="logout", request=None, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=HTTPStatus.NO_CONTENT)


class MeView(APIView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before the 401 of somebody who isn't logged in: their log-in needs the cookie this sets.
        get_token(request._request)
        super().initial(request, *args, **kwargs)

    @extend_schema(operation_id="me", responses=serializers.Me, tags=["auth"])
    def get(self, request: Request) -> Response:
        return _me(request, user_of(request))
