"""The checks that a request must pass before its body is received: the login, the CSRF token, the access
table and the role in the project."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, NoReturn

from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from rest_framework.request import Request

from config.requests.bodies import BEFORE_BODY


class BodyNeeded(Exception):
    """Raised if a view uses a body that has not been received yet."""


class _Bodiless(Request):
    @property
    def POST(self) -> QueryDict:  # type: ignore[override]  # noqa: N802 (DRF's name)
        """Empty, so that the CSRF check looks for the token in the header."""
        return QueryDict()

    @property
    def data(self) -> NoReturn:
        raise BodyNeeded


class BeforeBody(MiddlewareMixin):
    """Responds to a request whose body has not been received yet: 204 if the client may send the body, and
    otherwise the view's refusal. The view's checks run until they are complete or need the body. The view's
    method does not run."""

    def process_view(
        self, request: HttpRequest, view: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> HttpResponseBase | None:
        if not getattr(request, "scope", {}).get(BEFORE_BODY):
            return None
        if not hasattr(view, "cls"):
            raise Http404("Only the API's views accept large bodies.")
        api = view.cls(**view.initkwargs)

        def bodiless(*_: Any, **__: Any) -> Request:
            return _Bodiless(
                request,
                authenticators=api.get_authenticators(),
                negotiator=api.get_content_negotiator(),
                parser_context=api.get_parser_context(request),
            )

        def admitted(*_: Any, **__: Any) -> HttpResponse:
            response = HttpResponse(status=HTTPStatus.NO_CONTENT)
            response.sender = request.user.pk  # type: ignore[attr-defined]
            return response

        api.initialize_request = bodiless
        method = str(request.method).lower()
        if method == "head" and not hasattr(api, "head"):
            method = "get"  # DRF answers HEAD requests with this method
        if hasattr(api, method):
            setattr(api, method, admitted)
        api.setup(request, *args, **kwargs)
        try:
            checked: HttpResponseBase = api.dispatch(request, *args, **kwargs)
        except BodyNeeded:
            return admitted()
        return checked
