"""Django middleware that adds the request to the context of log lines. It must be the first middleware."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest

from config.logs.context import REQUEST_ID_HEADER, current_context, log_fields, request_id_of


class RequestContext:
    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        context = current_context()
        if context is not None and "request_id" in context.fields:  # set by `config.logs.asgi`
            context.request = request
            return self.get_response(request)
        request_id = request_id_of(request.headers.get(REQUEST_ID_HEADER, ""))
        with log_fields(request_id=request_id) as own:
            own.request = request
            response = self.get_response(request)
        response[REQUEST_ID_HEADER] = request_id
        return response
