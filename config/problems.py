"""The API's error format: RFC 9457 problem details, as `application/problem+json`.

`errors` lists each invalid field with a reason. A form can then show the reason next to the field. Services
raise :class:`Problem`; DRF's own exceptions are converted to the same format.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import models
from django.http import Http404
from rest_framework import exceptions, renderers
from rest_framework.response import Response

from config.logs.context import current_request_id

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FieldProblem:
    """An invalid field. `field` is a dotted path (`tiers.0.1`), or empty for the whole body."""

    field: str
    reason: str


class Problem(Exception):
    """A refusal with a reason, raised by services and rendered by :func:`problem_response`."""

    status: int = HTTPStatus.UNPROCESSABLE_ENTITY
    type: str = "invalid"

    def __init__(
        self,
        detail: str,
        *,
        errors: Sequence[FieldProblem] = (),
        status: int | None = None,
        type: str | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.errors = tuple(errors)
        self.status = status or self.status
        self.type = type or self.type


class Conflict(Problem):
    """The request is valid in itself, but conflicts with the current state, for example after a concurrent
    change."""

    status = HTTPStatus.CONFLICT
    type = "conflict"


def refuse_invalid_fields(row: models.Model, exclude: Collection[str] | None = None) -> None:
    """Raises :class:`Problem` if fields fail the model's validation. The exception contains a reason for each
    field."""
    try:
        row.clean_fields(exclude=exclude)
    except ValidationError as error:
        errors = [
            FieldProblem(field, " ".join(reasons))
            for field, reasons in getattr(error, "message_dict", {"": error.messages}).items()
        ]
        raise Problem("Some fields are invalid.", errors=errors) from None


class ProblemRenderer(renderers.JSONRenderer):
    media_type = "application/problem+json"


def problem_body(
    *, status: int, detail: str, type: str = "about:blank", errors: Sequence[FieldProblem] = ()
) -> dict[str, Any]:
    request_id = current_request_id()
    return {
        "type": type,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "errors": [{"field": e.field, "reason": e.reason} for e in errors],
        **({"request_id": request_id} if request_id else {}),
    }


def internal_error() -> dict[str, Any]:
    """The response body for an unexpected exception."""
    detail = "Internal error. The server log contains the cause. Report the request ID to an administrator."
    return problem_body(status=HTTPStatus.INTERNAL_SERVER_ERROR, detail=detail)


def problem_response(exc: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's EXCEPTION_HANDLER. Returns None for an unexpected exception; Django then logs it and responds
    with 500."""
    # At the top of the module, this import would be circular. DRF's views load the authentication classes
    # that the settings name. These classes call services, and the services import this module.
    from rest_framework.views import set_rollback

    from config.database.errors import problem_of
    from config.full_disk import full_disk_problem  # imports Problem from this module

    headers: dict[str, str] = {}
    if (problem := full_disk_problem(exc) or problem_of(exc)) is not None:
        problem.__cause__ = exc
        exc = problem
    if isinstance(exc, Problem):
        body = problem_body(status=exc.status, detail=exc.detail, type=exc.type, errors=exc.errors)
    else:
        if isinstance(exc, Http404):
            exc = exceptions.NotFound()
        elif isinstance(exc, PermissionDenied):
            exc = exceptions.PermissionDenied()
        if not isinstance(exc, exceptions.APIException):
            return None
        errors = tuple(_field_problems(exc.detail)) if isinstance(exc, exceptions.ValidationError) else ()
        status = exc.status_code
        if isinstance(exc, exceptions.ValidationError):
            status = HTTPStatus.UNPROCESSABLE_ENTITY
            detail = "; ".join(f"{e.field}: {e.reason}" if e.field else e.reason for e in errors)
        else:
            detail = str(exc.detail)
        code = exc.detail.code if isinstance(exc.detail, exceptions.ErrorDetail) else exc.default_code
        body = problem_body(status=status, detail=detail, type=str(code), errors=errors)
        if challenge := getattr(exc, "auth_header", None):
            headers["WWW-Authenticate"] = challenge
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(int(wait))
    if body["status"] >= HTTPStatus.INTERNAL_SERVER_ERROR:
        # 503 is a deliberate refusal while something is unavailable or busy.
        level = logging.WARNING if body["status"] == HTTPStatus.SERVICE_UNAVAILABLE else logging.ERROR
        logger.log(level, "The response to the request has status %s.", body["status"], exc_info=exc)
    set_rollback()
    response = Response(body, status=body["status"], headers=headers)
    response.content_type = ProblemRenderer.media_type
    return response


def _field_problems(detail: Any, path: str = "") -> Iterator[FieldProblem]:
    if isinstance(detail, dict):
        for key, value in detail.items():
            name = "" if key == "non_field_errors" else str(key)
            yield from _field_problems(value, f"{path}.{name}".strip(".") if name else path)
    elif isinstance(detail, list):
        for index, value in enumerate(detail):
            inner = path if isinstance(value, str) else f"{path}.{index}".strip(".")
            yield from _field_problems(value, inner)
    else:
        yield FieldProblem(path, str(detail))
