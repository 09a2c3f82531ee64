"""Log in, log out, who am I."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib.auth import logout
from django.http import HttpResponseRedirect
from django.middleware.csrf import get_token
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.accounts.api import login_serializers as shapes
from annotation.accounts.login import oidc, passwords, second_factor
from annotation.api.base import user_of
from annotation.models import Membership, User


def me(request: Request, user: User, *, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """Who is logged in, as every step that logs somebody in answers."""
    mine = Membership.objects.filter(user=user).select_related("project").order_by("-id")
    shown = {
        "id": user.pk,
        "username": user.username,
        "name": user.get_full_name(),
        "is_admin": user.is_admin,
        "csrf_token": get_token(request._request),
        "memberships": mine,
    }
    return Response(shapes.Me(shown).data, status=status)


class LogInView(APIView):
    """A step of logging in, by a browser: with its CSRF token, so that nobody logs it in as somebody else."""

    # No authentication: a stale session cookie must not keep its owner from logging in.
    authentication_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            SessionAuthentication().enforce_csrf(request)


class LoginView(LogInView):
    @extend_schema(
        operation_id="login",
        description="200: logged in. 202: the password is right, and a code is asked for.",
        request=shapes.Credentials,
        responses={200: shapes.Me, 202: shapes.CodeStep},
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.Credentials(data=request.data)
        given.is_valid(raise_exception=True)
        if passwords.log_in(request=request._request, **given.validated_data):
            return me(request, _logged_in(request))
        return Response({"next_step": "code"}, status=HTTPStatus.ACCEPTED)


class LoginCodeView(LogInView):
    @extend_schema(
        operation_id="loginWithCode",
        description="The second step: a code of the authenticator app, or a recovery code.",
        request=shapes.Code,
        responses=shapes.Me,
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.Code(data=request.data)
        given.is_valid(raise_exception=True)
        second_factor.complete_log_in(request=request._request, **given.validated_data)
        return me(request, _logged_in(request))


def _logged_in(request: Request) -> User:
    user = request._request.user
    assert isinstance(user, User)
    return user


class ProvidersView(LogInView):
    @extend_schema(
        operation_id="listLoginProviders",
        description="Where one can log in instead of by password.",
        responses=shapes.Provider(many=True),
        tags=["auth"],
    )
    def get(self, request: Request) -> Response:
        return Response(shapes.Provider(oidc.providers(), many=True).data)


class OidcView(APIView):
    # Of somebody logged in it connects an account: by a session alone, never by a token that was found.
    authentication_classes = [SessionAuthentication]


class OidcBeginView(OidcView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        SessionAuthentication().enforce_csrf(request)

    @extend_schema(
        operation_id="beginOidcLogin",
        description="Where to send the browser. Of somebody logged in it connects the provider's account.",
        request=shapes.BeginOidc,
        responses=shapes.Redirect,
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.BeginOidc(data=request.data)
        given.is_valid(raise_exception=True)
        asked = given.validated_data
        location = oidc.begin(
            request=request._request, provider_id=asked["provider"], next_page=asked["next"]
        )
        return Response({"location": location})


class OidcCallbackView(OidcView):
    @extend_schema(
        operation_id="completeOidcLogin",
        description="Where the provider sends the browser back to; goes on to a page of this site.",
        parameters=[OpenApiParameter(name, str) for name in ("code", "state", "error")],
        responses={302: None},
        tags=["auth"],
    )
    def get(self, request: Request, provider: str) -> HttpResponseRedirect:
        return HttpResponseRedirect(oidc.complete(request=request._request, provider_id=provider))


class LogoutView(APIView):
    @extend_schema(operation_id="logout", request=None, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=HTTPStatus.NO_CONTENT)


class LogoutEverywhereView(APIView):
    @extend_schema(
        operation_id="logoutEverywhere",
        description="Ends every session of the user, this one too. Tokens stay; revoke those one by one.",
        request=None,
        responses={204: None},
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        passwords.end_sessions(user=user_of(request))
        logout(request._request)
        return Response(status=HTTPStatus.NO_CONTENT)


class MeView(APIView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        # Before the 401 of somebody who isn't logged in: their log-in needs the cookie this sets.
        get_token(request._request)
        super().initial(request, *args, **kwargs)

    @extend_schema(operation_id="me", responses=shapes.Me, tags=["auth"])
    def get(self, request: Request) -> Response:
        return me(request, user_of(request))
