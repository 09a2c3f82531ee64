"""Refuses requests whose URL, cookies or declared character set can't be read.

Without these checks, Django or Postgres would raise an exception and the response would be a server error.
`annotation.api.parsers` checks bodies, and `annotation.api.parameters` checks parameters and headers.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote_to_bytes

from django.http import HttpRequest, JsonResponse

from config.problems import FieldProblem, ProblemRenderer, problem_body
from preferences.text import NUL

_UTF_8 = frozenset({"", "utf-8", "utf8", "us-ascii"})


def wellformed_request(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    def answer(request: HttpRequest) -> Any:
        fault = _fault(request)
        if fault is None:
            return get_response(request)
        body = problem_body(
            status=HTTPStatus.BAD_REQUEST, detail=f"{fault.field}: {fault.reason}", errors=[fault]
        )
        return JsonResponse(body, status=HTTPStatus.BAD_REQUEST, content_type=ProblemRenderer.media_type)

    return answer


def _fault(request: HttpRequest) -> FieldProblem | None:
    try:
        query = unquote_to_bytes(request.META.get("QUERY_STRING", "")).decode()
    except UnicodeDecodeError:
        # Django would replace the invalid bytes, and the view would search for text that nobody sent.
        return FieldProblem("query", "The URL is not valid UTF-8.")
    if NUL in request.path_info or NUL in query:
        return FieldProblem("query", "The URL contains a NUL character (%00), which can't be stored.")
    for name, value in request.COOKIES.items():
        # Cookies can contain a NUL as `"\000"`. A session key with a NUL can't be looked up in the database.
        if NUL in name or NUL in value:
            return FieldProblem("Cookie", "A cookie contains a NUL character. Delete this site's cookies.")
    charset = (request.content_params or {}).get("charset", "")
    if request.content_type == "multipart/form-data" and charset.lower() not in _UTF_8:
        # Django accepts every Python codec. Some, such as `idna`, raise unexpected exceptions. JSON is always
        # UTF-8.
        return FieldProblem("Content-Type", f"The character set {charset[:40]!r} can't be read. Send UTF-8.")
    return None
