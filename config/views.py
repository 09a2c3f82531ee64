"""Views that belong to no app: the health and readiness checks, the single-page app, and errors outside the
API's views."""

from __future__ import annotations

import sys
import threading
from http import HTTPStatus

from django.conf import settings
from django.db import Error as DatabaseError
from django.db import connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe
from kombu.exceptions import OperationalError

from config import readiness
from config.database.errors import TryAgain, problem_of
from config.full_disk import full_disk_problem
from config.problems import ProblemRenderer, internal_error, problem_body
from config.wake import connection_for_one_try

_BROKER_SECONDS = 2.0
_checking_broker = threading.Lock()
_broker_state = "ok"
_NOT_BUILT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Rankloop</title>
<h1>The front end is not built yet</h1>
<p>The server and its API are running, but the front end is missing. Build it, then restart:</p>
<pre>scripts/up</pre><p>or, with your own Node 22.12 or newer:</p>
<pre>cd frontend &amp;&amp; npm ci &amp;&amp; npm run build</pre></html>"""


@never_cache
@require_safe
def healthz(request: HttpRequest) -> JsonResponse:
    """Responds with 200 if the database and the broker respond, otherwise with 503 and the state of both."""
    parts = {"database": _database(), "broker": _broker()}
    healthy = all(state == "ok" for state in parts.values())
    status = HTTPStatus.OK if healthy else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({"status": "ok" if healthy else "unavailable", **parts}, status=status)


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return "unreachable"
    return "ok"


def _broker() -> str:
    """The state of the broker. Only one thread at a time waits for a broker that is not responding. In other
    threads, the result of the last check is returned."""
    global _broker_state
    if not _checking_broker.acquire(blocking=False):
        return _broker_state
    try:
        _broker_state = "ok" if _broker_answers() else "unreachable"
    finally:
        _checking_broker.release()
    return _broker_state


def _broker_answers() -> bool:
    broker = connection_for_one_try(socket_connect_timeout=_BROKER_SECONDS, socket_timeout=_BROKER_SECONDS)
    try:
        broker.default_channel.client.ping()
    except (OperationalError, *broker.connection_errors):
        return False
    finally:
        broker.release()
    return True


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """Responds with 200 if this server can do all of its work, otherwise with 503 and the state of each part.
    The response takes no longer than the time limit, even if a part hangs."""
    parts = readiness.answers(_READINESS)
    ready = all(state == readiness.OK for state in parts.values())
    status = HTTPStatus.OK if ready else HTTPStatus.SERVICE_UNAVAILABLE
    return JsonResponse({"status": "ok" if ready else "unavailable", **parts}, status=status)


def _database_in_thread() -> str:
    """Like `_database`, but runs in a separate thread, whose connection must be closed."""
    try:
        return _database()
    finally:
        connection.close()


_READINESS = {
    "database": readiness.Check("database", _database_in_thread),
    "broker": readiness.Check("broker", lambda: _broker()),
    "storage": readiness.Check("storage", readiness.storage_state),
}


@never_cache
@require_safe
@ensure_csrf_cookie  # the first page can be the login form, whose POST needs the CSRF cookie
def page(request: HttpRequest, path: str = "") -> HttpResponse:
    """The HTML of the single-page app, served at every URL of the app. The HTML must not be cached, because
    it names files by hashes that change whenever a file changes."""
    try:
        return HttpResponse((settings.FRONTEND / "index.html").read_bytes())
    except FileNotFoundError:
        return HttpResponse(_NOT_BUILT, status=HTTPStatus.SERVICE_UNAVAILABLE)


def _problem(status: HTTPStatus, detail: str) -> JsonResponse:
    body = problem_body(status=status, detail=detail)
    return JsonResponse(body, status=status, content_type=ProblemRenderer.media_type)


def bad_request(request: HttpRequest, exception: Exception) -> JsonResponse:
    return _problem(HTTPStatus.BAD_REQUEST, "The request was rejected before it reached the API.")


def not_found(request: HttpRequest, exception: Exception) -> JsonResponse:
    return _problem(HTTPStatus.NOT_FOUND, f"There is nothing at {request.path}.")


def server_error(request: HttpRequest) -> JsonResponse:
    # Django calls this view in the `except` block that handles the error.
    error = sys.exception()
    if error is None or (problem := full_disk_problem(error) or problem_of(error)) is None:
        status, body = HTTPStatus.INTERNAL_SERVER_ERROR, internal_error()
        return JsonResponse(body, status=status, content_type=ProblemRenderer.media_type)
    body = problem_body(status=problem.status, detail=problem.detail, type=problem.type)
    response = JsonResponse(body, status=problem.status, content_type=ProblemRenderer.media_type)
    if isinstance(problem, TryAgain):
        response.headers["Retry-After"] = str(problem.wait)
    return response
