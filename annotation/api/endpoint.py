"""The access table: which action each method of an endpoint requires. The actions are specified where the
endpoint's URL is defined:

    endpoint(f"{PROJECT}members/", MembersView, GET=Action.MANAGE_MEMBERS, POST=Action.MANAGE_MEMBERS)

An endpoint can't be missing from the table by mistake. If a method has no action, the server doesn't start.
An endpoint that is defined with a plain `path` refuses every request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, URLResolver, path
from rest_framework.exceptions import PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from annotation.api.permissions import RULES, Action, Who, require, require_anywhere, require_scope
from annotation.models import ApiToken

# Not imported at run time, because rest_framework.views itself loads this module for its default permission.
if TYPE_CHECKING:
    from rest_framework.views import APIView

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def endpoint(route: str, view: type[APIView], **access: Action) -> URLPattern:
    """Like `path`, but also takes the action that each of the view's methods requires. The route and its
    actions form a line of the access table."""
    offered = {method for method in METHODS if hasattr(view, method.lower())}
    if offered != set(access):
        raise ImproperlyConfigured(
            f"{route}: {view.__name__} handles {', '.join(sorted(offered))}, but the route's line in urls.py"
            f" names {', '.join(sorted(access)) or 'none'}. Name an Action for each method."
        )
    callback: Any = view.as_view()
    callback.access = access
    pattern: URLPattern = path(route, callback)
    return pattern


def action_of(request: Request) -> Action | None:
    """The action that the access table requires for this request. None if the endpoint doesn't have the
    request's method (405)."""
    access: dict[str, Action] = getattr(request.resolver_match.func, "access", {})  # type: ignore[union-attr]
    return access.get("GET" if request.method == "HEAD" else str(request.method))


class ByTheTable(BasePermission):
    """Performs the checks that don't depend on a row: the login, the token's scope, and the permission for
    site-wide actions.

    Afterwards, the view finds the row and checks the role in the row's project (see `action_of`).
    """

    def has_permission(self, request: Request, view: APIView) -> bool:
        if not hasattr(request.resolver_match.func, "access"):  # type: ignore[union-attr]
            raise PermissionDenied("This endpoint is not in the access table.")
        action = action_of(request)
        if action is not None and RULES[action].who is Who.ANYONE:
            return True
        if not request.user.is_authenticated:
            return False
        if action is None:
            return True
        if isinstance(request.auth, ApiToken):
            require_scope(action, str(request.method), held=request.auth.scopes)
        if RULES[action].who is Who.ROLES and not request.resolver_match.kwargs:  # type: ignore[union-attr]
            require(request.user, action)
        elif RULES[action].who is Who.ROLES_ANYWHERE:
            require_anywhere(request.user, action)
        return True


@dataclass(frozen=True)
class Line:
    """One line of the access table."""

    route: str
    method: str
    action: Action


def lines(resolver: Any, prefix: str = "") -> Iterator[Line | str]:
    """Yields the access table's lines for all routes of a URL resolver. For a route that is missing from the
    table, yields the route as a string."""
    for entry in resolver.url_patterns:
        route = f"{prefix}{entry.pattern}"
        if isinstance(entry, URLResolver):
            yield from lines(entry, route)
        elif (access := getattr(entry.callback, "access", None)) is None:
            yield route
        else:
            yield from (Line(route, method, action) for method, action in access.items())
