"""Middleware for security headers and for serving the built front end."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from whitenoise.base import WhiteNoise
from whitenoise.responders import Response, StaticFile

from config.problems import ProblemRenderer, problem_body
from preferences.text import NUL

# Model output is untrusted. Even markup that got past the sanitiser can't run a script, load an image (which
# could leak the answer in its URL) or submit a form. Only styles are allowed inline: Mantine writes its
# theme's variables into a <style> element.
_CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self'",
        "font-src 'self'",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


# Vite puts a hash into the names of the files in this folder, so browsers can cache the files forever.
_HASHED_FILES = "/static/assets/"


class SecurityHeaders(MiddlewareMixin):
    """Adds the security headers to every response, including API responses and error pages."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


def storable_query(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Refuses a URL whose path or query contains a NUL. Postgres text can't contain a NUL, so a view that
    compared such a value with a column would fail. `annotation.api.parsers` checks request bodies."""

    def answer(request: HttpRequest) -> Any:
        if NUL not in request.path_info and quote(NUL) not in request.META.get("QUERY_STRING", ""):
            return get_response(request)
        detail = "The address contains a NUL character (%00), which can't be stored."
        body = problem_body(status=HTTPStatus.BAD_REQUEST, detail=detail)
        return JsonResponse(body, status=HTTPStatus.BAD_REQUEST, content_type=ProblemRenderer.media_type)

    return answer


class StaticFiles:
    """Serves the built front-end files with WhiteNoise's index, which handles content types, caching,
    compressed variants and byte ranges.

    WhiteNoise's own middleware streams files from a sync iterator, which the ASGI handler reads completely,
    with a warning. These files are small, so they are sent in one piece.
    """

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        root = settings.FRONTEND if settings.FRONTEND.is_dir() else None
        self._files: dict[str, StaticFile] = WhiteNoise(
            None,
            root,
            prefix=settings.STATIC_URL,
            allow_all_origins=False,
            immutable_file_test=lambda path, url: url.startswith(_HASHED_FILES),
        ).files

    def __call__(self, request: HttpRequest) -> Any:
        found = self._files.get(request.path_info)
        if found is None:
            return self.get_response(request)
        return _whole(found.get_response(request.method, request.META))


def _whole(found: Response) -> HttpResponse:
    body = b""
    if found.file is not None:
        with found.file:
            body = found.file.read()
    answer = HttpResponse(body, status=int(found.status))
    del answer["Content-Type"]
    for name, value in found.headers:
        answer[name] = value
    return answer
