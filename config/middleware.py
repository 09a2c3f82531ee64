"""Headers that bound what the page may do, and the built page's files."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.deprecation import MiddlewareMixin
from whitenoise.middleware import WhiteNoiseMiddleware

# What models write is untrusted: even markup that slipped through the page's sanitiser can't run a script,
# load an image (a request with the answer in its address) or send a form away. Styles alone may stand inline:
# Mantine writes its theme's variables into a <style> element.
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


class SecurityHeaders(MiddlewareMixin):
    """The policy on every answer, the API's and the error pages' too."""

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class StaticFiles(WhiteNoiseMiddleware):
    """WhiteNoise, also on the event loop.

    The original is sync-only: under ASGI it sends every request through a thread, and streams its files from
    a sync iterator, which Django reads whole with a warning. These files are small and sent whole.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        super().__init__(get_response)
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        found = self.files.get(request.path_info)
        if found is None:
            return self.get_response(request)
        answer = _whole(found.get_response(request.method, request.META))
        return _awaitable(answer) if iscoroutinefunction(self) else answer


def _whole(found: Any) -> HttpResponse:
    body = b""
    if found.file is not None:
        with found.file:
            body = found.file.read()
    answer = HttpResponse(body, status=int(found.status))
    del answer["Content-Type"]
    for name, value in found.headers:
        answer[name] = value
    return answer


async def _awaitable(answer: HttpResponse) -> HttpResponse:
    return answer
