"""The limits on request bodies apply before a body is read. Strangers can send only small bodies, and uploads
need a login and permission before their first byte is read."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import re
import socket
import tempfile
import threading
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import uvicorn
from django.conf import settings
from django.db import connections
from django.http import HttpResponse
from django.urls import get_resolver, resolve
from rest_framework.parsers import MultiPartParser
from rest_framework.test import APIClient

from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, lines
from annotation.api.permissions import RULES, Who
from annotation.models import Import, Project, User
from config.asgi import OneThreadPerRequest
from config.requests import bodies
from config.requests.bodies import (
    JSON_BYTES,
    OPEN_BYTES,
    UPLOADS_PER_USER,
    Refused,
    Uploads,
    limit_of,
    read_body,
)
from config.requests.middleware import SECURITY_HEADERS
from tests.annotation.answering import claim
from tests.config.conftest import OWNER, Ids, url_of
from tests.storage.small_disk import fill, mounted

IMPORTS = "/api/v1/projects/support/imports/"
BOUNDARY = b"x" * 20
Headers = dict[bytes, bytes]


@pytest.fixture
def application(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneThreadPerRequest]:
    monkeypatch.setattr(bodies, "LINGER_SECONDS", 0.3)
    app = OneThreadPerRequest()
    yield app
    for _ in range(8):
        app._threads.submit(connections.close_all)
    app._threads.shutdown()


class Client:
    """A client that sends `parts` and records how many of them the server has read."""

    def __init__(
        self,
        method: str,
        path: str,
        *parts: bytes,
        headers: Headers | None = None,
        announced: int | None = None,
        stalls: bool = False,
    ) -> None:
        self.headers = [(b"host", b"localhost"), *(headers or {}).items()]
        if announced is not None:
            self.headers.append((b"content-length", str(announced).encode()))
        self.scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": self.headers,
            "client": ("198.51.100.7", 5000),
        }
        self.left = list(parts)
        self.read = 0
        self.stalls = stalls
        self.sent: list[dict[str, Any]] = []

    async def receive(self) -> dict[str, Any]:
        if not self.left and self.stalls:
            await asyncio.sleep(60)
        if not self.left:
            return {"type": "http.request", "body": b"", "more_body": False}
        self.read += 1
        return {"type": "http.request", "body": self.left.pop(0), "more_body": True}

    async def send(self, message: Any) -> None:
        if not self.sent:
            self.read_before_response = self.read
        self.sent.append(message)

    async def ask(self, application: OneThreadPerRequest) -> int:
        await asyncio.wait_for(application(dict(self.scope), self.receive, self.send), 30)
        return int(self.sent[0]["status"])

    def header(self, name: str) -> str:
        headers: list[tuple[bytes, bytes]] = self.sent[0]["headers"]
        found = {key.decode().lower(): value.decode() for key, value in headers}
        return found.get(name.lower(), "")

    @property
    def problem(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))
        return body


def ask(application: OneThreadPerRequest, client: Client) -> int:
    return asyncio.run(client.ask(application))


def bearer(user: User) -> Headers:
    return {b"authorization": b"Bearer " + create_token(user=user, name="t")[1].encode()}


def session_of(user: User) -> Headers:
    client = APIClient()
    client.force_login(user)
    csrf = b"a" * 32
    session = client.cookies["sessionid"].value.encode()
    return {b"cookie": b"csrftoken=%s; sessionid=%s" % (csrf, session), b"x-csrftoken": csrf}


def upload(rows: int) -> tuple[Headers, list[bytes]]:
    """The headers and the parts of a multipart body with a JSON Lines file of `rows` rows."""
    line = {"prompt": "Where is my order?", "responses": ["In the depot. " * 50, "I don't know."]}
    file = b"".join(json.dumps({**line, "prompt": f"{n}?"}).encode() + b"\n" for n in range(rows))
    head = (
        b"--%s\r\nContent-Disposition: form-data; name=file; filename=rows.jsonl\r\n"
        b"Content-Type: application/json\r\n\r\n" % BOUNDARY
    )
    whole = head + file + b"\r\n--%s--\r\n" % BOUNDARY
    parts = [whole[start : start + 2**16] for start in range(0, len(whole), 2**16)]
    return {b"content-type": b"multipart/form-data; boundary=" + BOUNDARY}, parts


@pytest.mark.parametrize("path", ["/api/v1/auth/login", "/api/v1/auth/invitation", "/", "/api/v1/none/"])
def test_stranger_can_send_only_small_bodies(application: OneThreadPerRequest, path: str) -> None:
    parts = [b"x" * 2**16] * 40
    for announced in (None, sum(map(len, parts))):  # without and with a Content-Length
        client = Client("POST", path, *parts, announced=announced)
        status = ask(application, client)
        assert client.header("Connection") == "close"
        assert client.read_before_response * 2**16 <= (0 if announced else OPEN_BYTES + 2**16)
        assert status in {HTTPStatus.REQUEST_ENTITY_TOO_LARGE, HTTPStatus.NOT_FOUND}
        assert client.problem["status"] == status
        assert {name: client.header(name) for name in SECURITY_HEADERS} == SECURITY_HEADERS
        assert client.header("X-Content-Type-Options") == "nosniff"


@pytest.mark.parametrize("announced", [None, 10, 300_000_000])
@pytest.mark.parametrize("path", [IMPORTS, f"{IMPORTS}preview"])
def test_stranger_is_refused_before_an_upload_is_read(
    application: OneThreadPerRequest, project: Project, path: str, announced: int | None
) -> None:
    headers, parts = upload(rows=3)
    client = Client("POST", path, *parts, headers=headers, announced=announced)
    assert ask(application, client) == HTTPStatus.UNAUTHORIZED
    assert client.read_before_response <= (announced is None)
    assert client.header("Connection") == "close"
    assert client.problem["status"] == HTTPStatus.UNAUTHORIZED


def test_upload_without_permission_or_csrf_token_is_refused_before_it_is_read(
    application: OneThreadPerRequest, project: Project, alice: User, mona: User, oscar: User
) -> None:
    headers, parts = upload(rows=3)
    narrow = create_token(user=mona, name="t", scopes=["read"])[1].encode()
    for credentials, expected in (
        (bearer(alice), HTTPStatus.FORBIDDEN),
        (bearer(oscar), HTTPStatus.NOT_FOUND),
        ({b"authorization": b"Bearer " + narrow}, HTTPStatus.FORBIDDEN),
        ({b"authorization": b"Bearer rl_unknown"}, HTTPStatus.UNAUTHORIZED),
        (session_of(mona) | {b"x-csrftoken": b""}, HTTPStatus.FORBIDDEN),
    ):
        client = Client("POST", IMPORTS, *parts, headers=headers | credentials, announced=100_000_000)
        assert ask(application, client) == expected
        assert client.read_before_response == 0


def test_upload_of_a_manager_is_accepted_with_a_token_and_with_a_session(
    application: OneThreadPerRequest, project: Project, mona: User
) -> None:
    headers, parts = upload(rows=4000)  # more than is kept in memory
    size = sum(map(len, parts))
    assert size > settings.FILE_UPLOAD_MAX_MEMORY_SIZE
    for credentials in (bearer(mona), session_of(mona)):
        for announced in (size, None):
            client = Client("POST", IMPORTS, *parts, headers=headers | credentials, announced=announced)
            assert ask(application, client) == HTTPStatus.ACCEPTED, client.problem
    assert list(Import.objects.values_list("size", flat=True)) == [Import.objects.earliest("id").size] * 4


def test_large_json_body_needs_a_login_and_has_a_size_limit(
    application: OneThreadPerRequest, project: Project, tasks: list[Any], alice: User
) -> None:
    given = claim(project, alice)
    address = f"/api/v1/assignments/{given.pk}/draft"
    draft = {"token": str(given.token), "version": 0, "draft": {"rewrite": "x" * (OPEN_BYTES + 10)}}
    body = json.dumps(draft).encode()
    for announced in (None, len(body)):
        stranger = Client("PUT", address, body[:-5], body[-5:], announced=announced)
        assert ask(application, stranger) == HTTPStatus.UNAUTHORIZED
        more = announced and JSON_BYTES + 1
        large = Client("PUT", address, *[b" " * 2**16] * 40, headers=bearer(alice), announced=more)
        assert ask(application, large) == HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        assert f"at most {JSON_BYTES:,} bytes" in large.problem["detail"]
    json_type = {b"content-type": b"application/json"}
    client = Client("PUT", address, body, headers=bearer(alice) | json_type, announced=len(body))
    assert ask(application, client) == HTTPStatus.OK, client.problem


def test_body_that_stalls_times_out(
    application: OneThreadPerRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "IDLE_SECONDS", 0.1)
    client = Client("POST", "/api/v1/auth/login", b"{", stalls=True)
    assert ask(application, client) == HTTPStatus.REQUEST_TIMEOUT
    assert "in time" in client.problem["detail"]


def test_body_that_arrives_too_slowly_times_out(application: OneThreadPerRequest) -> None:
    class Trickling(Client):
        async def receive(self) -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b" ", "more_body": True}

    async def scene() -> None:
        limit = bodies.Limit(OPEN_BYTES, seconds=0.3)
        body = bodies.Body(io.BytesIO())
        client = Trickling("POST", "/")
        with pytest.raises(bodies.Refused) as caught:
            await bodies._fill(body, limit, 0, client.receive, None, bodies.Uploads())  # type: ignore[arg-type]
        assert caught.value.response.status_code == HTTPStatus.REQUEST_TIMEOUT

    asyncio.run(scene())


def test_number_of_simultaneous_uploads_of_each_user_is_limited(
    application: OneThreadPerRequest, project: Project, mona: User, ada: User
) -> None:
    headers, parts = upload(rows=3)
    of_mona, of_ada = bearer(mona), bearer(ada)

    async def scene() -> tuple[list[int], list[Client]]:
        release = asyncio.Event()

        class Slow(Client):
            async def receive(self) -> dict[str, Any]:
                await release.wait()
                return await super().receive()

        slow = [
            Slow("POST", IMPORTS, *parts, headers=headers | of_mona, announced=500)
            for _ in range(UPLOADS_PER_USER)
        ]
        waiting = [asyncio.create_task(client.ask(application)) for client in slow]
        while application._uploads._open.total() < UPLOADS_PER_USER:
            await asyncio.sleep(0.01)
        refused = Client("POST", IMPORTS, *parts, headers=headers | of_mona, announced=500)
        other = Client("POST", IMPORTS, *parts, headers=headers | of_ada, announced=500)
        statuses = [await refused.ask(application), await other.ask(application)]
        assert refused.header("Retry-After") == "30"
        release.set()
        statuses += await asyncio.gather(*waiting)
        last = Client("POST", IMPORTS, *parts, headers=headers | of_mona, announced=500)
        return [*statuses, await last.ask(application)], [refused]

    statuses, _ = asyncio.run(scene())
    assert statuses == [429, 202, *[202] * UPLOADS_PER_USER, 202]
    assert application._uploads._open.total() == 0


def test_all_upload_endpoints_and_no_others_have_the_upload_limit() -> None:
    table = [line for line in lines(get_resolver()) if isinstance(line, Line)]
    for line in table:
        path = "/" + re.sub(r"<uuid:\w+>", str(UUID(int=7)), line.route)
        path = re.sub(r"<\w+:\w+>", "support", path)
        view = resolve(path).func.cls  # type: ignore[attr-defined]
        takes_files = line.method == "POST" and view.parser_classes == [MultiPartParser]
        assert limit_of(line.method, path).is_upload == takes_files, line


def test_every_view_can_check_a_request_without_its_body(people: dict[str, User], rows: Ids) -> None:
    """A view whose checks failed without the body would refuse every large body."""
    check = OneThreadPerRequest.__new__(OneThreadPerRequest)
    check.load_middleware()
    tokens = {name: bearer(people[name]) for name in ("ada", OWNER)}
    for line in (line for line in lines(get_resolver()) if isinstance(line, Line)):
        if limit_of(line.method, url_of(line, rows)).bytes > OPEN_BYTES:
            who = OWNER if RULES[line.action].who is Who.OWNER else "ada"
            headers = tokens[who] if "account/" not in line.route else session_of(people[who])
            scope = Client(line.method, url_of(line, rows), headers=headers).scope
            request, _ = check.create_request(bodies.without_body(scope), io.BytesIO())
            assert request is not None
            answer: Any = check.get_response(request)
            assert answer.status_code == HTTPStatus.NO_CONTENT, (line, answer.content)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", IMPORTS),
        ("POST", "/api/v1/projects/support/imports/preview\n"),
        ("POST", "/api/v1/projects/a/b/imports/"),
        ("POST", "//api/v1/projects/support/imports/"),
        ("POST", "/api/v1/auth/login\n"),
        ("DELETE", "/api/v1/projects/support/imports/"),
    ],
)
def test_upload_limit_applies_only_to_upload_addresses(method: str, path: str) -> None:
    assert limit_of(method, path).bytes <= JSON_BYTES


@pytest.fixture
def server(application: OneThreadPerRequest) -> Iterator[tuple[str, int]]:
    """A uvicorn server with the application, in a thread."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, lifespan="off", log_level="error", proxy_headers=False)
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, args=([listener],))
    thread.start()
    yield listener.getsockname()
    web.should_exit = True
    thread.join()


def _head(path: str, *lines: str) -> bytes:
    return "\r\n".join([f"POST {path} HTTP/1.1", "Host: localhost", *lines, "", ""]).encode()


def test_stranger_sees_the_refusal_while_still_sending(server: tuple[str, int], project: Project) -> None:
    with socket.create_connection(server, timeout=10) as connection:
        connection.sendall(_head(IMPORTS, "Content-Length: 300000000"))
        sending = threading.Thread(target=_send_all, args=(connection, b"x" * 20_000_000))
        sending.start()
        answer = connection.makefile("rb").read()
        sending.join()
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"}")


def _send_all(connection: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):  # the server has closed the connection
        connection.sendall(data)


def test_stranger_gets_401_instead_of_100_continue(server: tuple[str, int], project: Project) -> None:
    with socket.create_connection(server, timeout=10) as connection:
        connection.sendall(_head(IMPORTS, "Content-Length: 300000000", "Expect: 100-continue"))
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 401")


def test_upload_is_refused_with_507_if_the_temporary_folder_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def admitted() -> HttpResponse:
        return HttpResponse(status=HTTPStatus.NO_CONTENT)

    with mounted(tmp_path / "disk") as disk:
        monkeypatch.setattr(tempfile, "tempdir", str(disk))
        fill(disk)
        client = Client("POST", IMPORTS, *[bytes(1 << 20)] * 4)
        with pytest.raises(Refused) as refused:
            asyncio.run(read_body(client.scope, client.receive, check=admitted, uploads=Uploads()))
    problem = json.loads(refused.value.response.content)  # type: ignore[attr-defined]
    assert refused.value.response.status_code == HTTPStatus.INSUFFICIENT_STORAGE
    assert problem["type"] == "disk-full"
    assert str(disk) in problem["detail"]
