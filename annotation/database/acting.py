"""Who is at work: told to Postgres with each write, for the audit log's triggers (migrations, `audit`).

Every writing statement carries `set_config('rankloop.actor', …, true)` in front of it, in the same round
trip. The setting is local to the transaction, and for a statement alone to that statement: on a pooled
connection it can't be there when the next request comes, whatever became of this one. Set once per connection
it would need a reset that nothing may skip; once per transaction, a rollback to a savepoint undoes it.
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
# A name, or the request being answered: its user is known only once a view has authenticated it.
_actor: ContextVar[str | HttpRequest] = ContextVar("actor", default="")
_WRITE = re.compile(r"[\s(]*(?:INSERT|UPDATE|DELETE|MERGE|WITH|TRUNCATE)\b", re.IGNORECASE)
# What stays goes into a literal and past the driver's % placeholders as it is.
_UNSAFE = re.compile(r"[^\w:.@+/-]", re.ASCII)


def current_actor() -> str:
    """`user:ID`, `anonymous`, `command:OS-USER:NAME`, `task:NAME`; empty: nobody said."""
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
    """For the rest of this thread's work: where no block can be put around it (signals, main programs)."""
    _actor.set(name)


def command_actor(command: str) -> str:
    """Of a management command: who started it, by the machine's account, and which one it is."""
    try:
        account = getpass.getuser()
    except (KeyError, OSError):  # a container's user id without a name
        account = "unknown"
    return f"command:{account}:{command}"


TELL_ACTOR = "set_config('rankloop.actor', %s, true)"


def actor_told() -> str:
    """The parameter of TELL_ACTOR."""
    return _UNSAFE.sub("_", current_actor())


def tell_actor(cursor: Any) -> None:
    """Before a COPY, which no execute wrapper sees. Call it in the transaction of the COPY."""
    cursor.execute(f"SELECT {TELL_ACTOR}", [actor_told()])


def name_actor(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """A Django execute wrapper: puts the actor before a writing statement. Reads go as they are, and so does
    what is prepared, which is one statement: whoever writes by that tells the actor first."""
    cursor = context["cursor"].cursor
    takes_two = isinstance(cursor, ClientCursor) and not isinstance(cursor, ServerCursor)
    if many or not isinstance(sql, str) or not takes_two or not _WRITE.match(sql):
        return execute(sql, params, many, context)
    told = f"SELECT set_config('rankloop.actor', '{actor_told()}', true); {sql}"
    result = execute(told, params, many, context)
    cursor.nextset()  # past the answer of set_config, to the statement's own
    return result


def watch_connection(connection: Any, **_: Any) -> None:
    """Receiver of `connection_created`; a pooled wrapper connects again for each request."""
    if name_actor not in connection.execute_wrappers:
        connection.execute_wrappers.append(name_actor)


class RequestActor:
    """Middleware: what a request writes is its user's doing."""

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> Any:
        before = _actor.set(request)
        try:
            return self.get_response(request)
        finally:
            _actor.reset(before)
