"""Endpoints for login, logout and the logged-in user."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from django.contrib.auth import logout
from django.http import HttpResponseRedirect
from django.middleware.csrf import get_token
from drf_spectacular.utils import extend_schema
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from annotation.accounts.api import login_serializers as shapes
from annotation.accounts.login import oidc, passwords, resets, second_factor
from annotation.api.base import user_of
from annotation.api.parameters import Asked, parses
from annotation.models import Membership, User


def me(request: Request, user: User, *, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """The response that describes the logged-in user. Every request that logs a user in gets this
    response."""
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
    """A view for one step of a browser login. Requires the CSRF token, so that another site can't log the
    browser in."""

    # Authentication is disabled, because a stale session cookie must not prevent a login.
    authentication_classes = []

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method == "POST":
            SessionAuthentication().enforce_csrf(request)


class LoginView(LogInView):
    @extend_schema(
        operation_id="login",
        description="200: logged in. 202: the password is correct, but a code is also required.",
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
        description="Completes a login with a code from the authenticator app or with a recovery code.",
        request=shapes.Code,
        responses=shapes.Me,
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.Code(data=request.data)
        given.is_valid(raise_exception=True)
        second_factor.complete_log_in(request=request._request, **given.validated_data)
        return me(request, _logged_in(request))


class ResetPasswordView(LogInView):
    @extend_schema(
        operation_id="resetPassword",
        description="Uses a reset link to set a new password and to log the user in."
        " 202: a code is also required.",
        request=shapes.PasswordReset,
        responses={200: shapes.Me, 202: shapes.CodeStep},
        tags=["auth"],
    )
    def post(self, request: Request) -> Response:
        given = shapes.PasswordReset(data=request.data)
        given.is_valid(raise_exception=True)
        if resets.reset_password(request=request._request, **given.validated_data):
            return me(request, _logged_in(request))
        return Response({"next_step": "code"}, status=HTTPStatus.ACCEPTED)


def _logged_in(request: Request) -> User:
    user = request._request.user
    assert isinstance(user, User)
    return user


class ProvidersView(LogInView):
    @extend_schema(
        operation_id="listLoginProviders",
        description="The external login providers that users can choose instead of a password.",
        responses=shapes.Provider(many=True),
        tags=["auth"],
    )
    def get(self, request: Request) -> Response:
        return Response(shapes.Provider(oidc.providers(), many=True).data)


class OidcView(APIView):
    # If the user is logged in, this request links the provider's account. Linking requires a session, because
    # a stolen token must not be enough to link an account.
    authentication_classes = [SessionAuthentication]


class OidcBeginView(OidcView):
    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        SessionAuthentication().enforce_csrf(request)

    @extend_schema(
        operation_id="beginOidcLogin",
        description="Returns the provider's login URL. If a user is already logged in, the login links the"
        " provider's account to that user.",
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
    @parses(shapes.OidcAnswer)
    @extend_schema(
        operation_id="completeOidcLogin",
        description="The callback to which the provider redirects the browser. Redirects to a page on this"
        " site.",
        responses={302: None},
        tags=["auth"],
    )
    def get(self, request: Request, provider: str, asked: Asked) -> HttpResponseRedirect:
        page = oidc.complete(
            request=request._request, provider_id=provider, state_id=asked["state"], denial=asked["error"]
        )
        return HttpResponseRedirect(page)


class LogoutView(APIView):
    @extend_schema(operation_id="logout", request=None, responses={204: None}, tags=["auth"])
    def post(self, request: Request) -> Response:
        logout(request._request)
        return Response(status=HTTPStatus.NO_CONTENT)


class LogoutEverywhereView(APIView):
    @extend_schema(
        operation_id="logoutEverywhere",
        description="Ends all of the user's sessions, including the current one. API tokens stay valid until"
        " they are revoked.",
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
        # Sets the CSRF cookie before authentication can fail with a 401, because a login needs the cookie.
        get_token(request._request)
        super().initial(request, *args, **kwargs)

    @extend_schema(operation_id="me", responses=shapes.Me, tags=["auth"])
    def get(self, request: Request) -> Response:
        return me(request, user_of(request))
