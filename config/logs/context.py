"""The fields of every log line: the request ID and, depending on the work, the user, the run or the task."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from dataclasses import dataclass, field
from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

REQUEST_ID_HEADER = "X-Request-ID"
# A client can choose the request ID, so only short IDs of harmless characters are accepted.
_REQUEST_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")


@dataclass(slots=True)
class Context:
    """`request` is set when the request reaches the middleware. The request's user is known only later. The
    request and its user are therefore read when a line is written."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    request: HttpRequest | None = None
    user_id: str | None = None
    """The user of a request that another process has handled (config/heavy)."""


_context: ContextVar[Context | None] = ContextVar("log_context", default=None)


def request_id_of(given: str) -> str:
    """The given request ID if it is well-formed, otherwise a new one."""
    return given if _REQUEST_ID.fullmatch(given) else os.urandom(16).hex()


def current_context() -> Context | None:
    return _context.get()


def current_request_id() -> str:
    """The ID of the request that runs this code or that caused the current task. Empty if there is none."""
    context = _context.get()
    return "" if context is None else str(context.fields.get("request_id", ""))


def current_fields() -> dict[str, Any]:
    context = _context.get()
    if context is None:
        return {}
    if context.request is None:
        return dict(context.fields)
    user = user_id_of(context.request)
    return {
        **context.fields,
        **({} if user is None else {"user_id": user}),
        "method": context.request.method,
        "path": context.request.path,
    }


def user_id_of(request: HttpRequest) -> str | None:
    """The ID of the request's user. None if nobody is logged in, or if the user has not been loaded yet.
    Writing a log line must not load the user, because the line may report a failure of the database."""
    user = request.__dict__.get("user")
    if isinstance(user, SimpleLazyObject):
        user = request.__dict__.get("_cached_user")
    key = getattr(user, "pk", None)
    return None if key is None else str(key)


def enter(**fields: Any) -> Token[Context | None]:
    """Adds the fields to the log lines of this thread or asyncio task until :func:`leave` is called. Signal
    receivers call this function, because they can't use a context manager."""
    outer = _context.get() or Context()
    return _context.set(Context({**outer.fields, **fields}, outer.request))


def leave(token: Token[Context | None]) -> None:
    _context.reset(token)


@contextmanager
def log_fields(**fields: Any) -> Iterator[Context]:
    token = enter(**fields)
    try:
        context = _context.get()
        assert context is not None  # set by `enter`
        yield context
    finally:
        leave(token)
