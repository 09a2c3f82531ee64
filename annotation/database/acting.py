"""The actor of each write, sent to Postgres for the triggers of the audit log (models/sql/audit.sql).

`set_config('rankloop.actor', …, true)` is sent before every writing statement, in the same round trip. The
setting is local to the transaction or, outside a transaction, to a single statement. A pooled connection
therefore can't carry the actor into the next request, even if the current request fails. Setting the actor
once per connection would require a reset after every request, even after a failed one. A value set once per
transaction would be lost on a rollback to a savepoint.
"""

from __future__ import annotations

import getpass
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.http import HttpRequest
from psycopg import ClientCursor, ServerCursor

ANONYMOUS = "anonymous"
# An actor, or the current request, whose user is known only after a view has authenticated the request.
_actor: ContextVar[str | HttpRequest] = ContextVar("actor", default="")
_WRITE = re.compile(r"[\s(]*(?:INSERT|UPDATE|DELETE|MERGE|WITH|TRUNCATE)\b", re.IGNORECASE)
# Matches characters that could be unsafe in a literal or clash with the driver's % placeholders.
_UNSAFE = re.compile(r"[^\w:.@+/-]", re.ASCII)


def current_actor() -> str:
    """The actor: `user:ID`, `anonymous`, `command:OS-USER:NAME` or `task:NAME`; empty if unknown."""
    who = _actor.get()
    if isinstance(who, str):
        return who
    user = getattr(who, "user", None)
    return f"user:{user.pk}" if user is not None and user.is_authenticated else ANONYMOUS


@contextmanager
def acting_as(name: str) -> Iterator[None]:
    before = _actor.set(name)
    try:
        yield
    finally:
        _actor.reset(before)


def act_as(name: str) -> None:
    """Sets the actor for the rest of this thread. Use this function where a context manager isn't possible,
    such as in signal receivers and main programs."""
    _actor.set(name)


def command_actor(command: str) -> str:
    """The actor of a management command: the operating system's user and the command's name."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # a container's user ID might have no name
        account = "unknown"
    return f"command:{account}:{command}"


SET_ACTOR = "set_config('rankloop.actor', %s, true)"


def safe_actor() -> str:
    """The current actor as the parameter of SET_ACTOR, without unsafe characters."""
    return _UNSAFE.sub("_", current_actor())


def set_actor(cursor: Any) -> None:
    """Sets the actor for a COPY. Must be called before the COPY, in the same transaction, because execute
    wrappers are not called for a COPY."""
    cursor.execute(f"SELECT {SET_ACTOR}", [safe_actor()])


def name_actor(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """A Django execute wrapper that sets the actor before each writing statement. Both statements are sent as
    one string. Reads and prepared statements are unchanged. A prepared statement can't contain a second
    statement, so code that runs a prepared statement must set the actor first."""
    cursor = context["cursor"].cursor
    takes_two = isinstance(cursor, ClientCursor) and not isinstance(cursor, ServerCursor)
    if many or not isinstance(sql, str) or not takes_two or not _WRITE.match(sql):
        return execute(sql, params, many, context)
    statement = f"SELECT set_config('rankloop.actor', '{safe_actor()}', true); {sql}"
    result = execute(statement, params, many, context)
    cursor.nextset()  # skip the result of set_config
    return result


def watch_connection(connection: Any, **_: Any) -> None:
    """Installs :func:`name_actor` on a connection; receives the `connection_created` signal. With a
    connection pool, the signal is sent again for each request."""
    if name_actor not in connection.execute_wrappers:
        connection.execute_wrappers.append(name_actor)


class RequestActor:
    """Middleware that makes a request's user the actor of the request's writes."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        before = _actor.set(request)
        try:
            return self.get_response(request)
        finally:
            _actor.reset(before)
