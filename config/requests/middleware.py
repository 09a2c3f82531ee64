"""Middleware for security headers and for serving the built front end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from whitenoise.base import WhiteNoise
from whitenoise.responders import Response, StaticFile

# Model output is untrusted. This policy applies even to markup that the sanitiser does not remove. Such
# markup can't run scripts of its own, and it can't submit a form to another site. Images from other sites
# can't be loaded either, because the request for an image could send text to the other site. Inline styles
# are allowed, because Mantine writes its theme variables into a <style> element.
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
SECURITY_HEADERS = {
    "Content-Security-Policy": _CONTENT_SECURITY_POLICY,
    "X-Frame-Options": "DENY",
    # Responses can contain private data, and a copy in the cache of a browser or a proxy would outlive the
    # session. Static files and pages are sent with their own cache policies.
    "Cache-Control": "no-store",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}


# Browsers can cache the files in this folder forever, because Vite puts a hash of the content into each
# file's name.
_HASHED_FILES = "/static/assets/"


class SecurityHeaders(MiddlewareMixin):
    """Adds the security headers to every response, including API responses and error pages."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in SECURITY_HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class StaticFiles:
    """Serves the built front-end files with WhiteNoise's index, which handles content types, caching,
    compressed variants and byte ranges.

    WhiteNoise's own middleware streams files from a sync iterator. The ASGI handler reads such an iterator
    completely into memory and issues a warning. Front-end files are small, so each file is sent in one piece.
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
