"""If the disk of the database server is full, every write is refused with 507. The refused writes include
those that accompany a request: sessions, the counts of failed logins, and the audit log."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection
from rest_framework.test import APIClient

from annotation.models import AuditEntry, Project, User
from tests.conftest import PASSWORD
from tests.storage.small_disk import fill, mounted

pytestmark = pytest.mark.django_db(transaction=True)

ClientOf = Callable[[User | None], APIClient]
DETAIL = "The disk of the database server is full, so nothing was saved."


@pytest.fixture
def reachable_folder() -> Iterator[Path]:
    """A folder that Postgres's account can enter, unlike pytest's own folders."""
    folder = Path(tempfile.mkdtemp(prefix="rankloop-disk-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


FullTable = Callable[[str], Any]


@pytest.fixture
def full_table(reachable_folder: Path) -> FullTable:
    """full_table(table): a context in which the table is on a full disk."""

    @contextmanager
    def full(table: str) -> Iterator[None]:
        with mounted(reachable_folder / "disk") as disk, connection.cursor() as cursor:
            cursor.execute("SHOW data_directory")
            os.chown(disk, os.stat(cursor.fetchone()[0]).st_uid, -1)
            cursor.execute(f"CREATE TABLESPACE small LOCATION '{disk}'")
            try:
                # This leaves no free space in the table's pages, and removes the deleted rows of earlier
                # tests, which would need space on the small disk.
                cursor.execute(f"VACUUM (FULL) {table}")
                cursor.execute(f"ALTER TABLE {table} SET TABLESPACE small")
                fill(disk)
                yield
            finally:
                (disk / "filler").unlink(missing_ok=True)
                cursor.execute(f"ALTER TABLE {table} SET TABLESPACE pg_default")
                cursor.execute("DROP TABLESPACE small")

    return full


def is_refused(response: Any) -> bool:
    problem = response.json()
    assert (response.status_code, problem["type"]) == (507, "database-disk-full"), response.content
    return DETAIL in problem["detail"]


def test_row_that_does_not_fit_on_the_disk_is_refused(
    ada: User, project: Project, client_of: ClientOf, full_table: FullTable
) -> None:
    guidelines = os.urandom(30_000).hex()  # can't be compressed
    with full_table("annotation_project"):
        body = {"slug": "big", "name": "Big", "guidelines": guidelines}
        assert is_refused(client_of(ada).post("/api/v1/projects/", body))
        assert not Project.objects.filter(slug="big").exists()

        def create_projects() -> None:
            for number in range(1000):
                call_command("create_project", f"p{number}", stdout=StringIO())

        with pytest.raises(CommandError, match="The disk of the database server is full"):
            create_projects()


@pytest.fixture
def owner(alice: User) -> User:
    alice.set_password(PASSWORD)
    alice.save()
    return alice


def log_in(client: APIClient) -> Any:
    return client.post("/api/v1/auth/login", {"username": "alice", "password": PASSWORD}, format="json")


@pytest.mark.parametrize("table", ["django_session", "rankloop_cache"])
@pytest.mark.usefixtures("empty_cache")
def test_login_that_cannot_be_stored_is_refused(table: str, owner: User, full_table: FullTable) -> None:
    client = APIClient()
    with full_table(table), fill_pages(table):
        assert is_refused(log_in(client))
        assert "sessionid" not in client.cookies
        assert client.get("/api/v1/auth/me").status_code == 401
    assert log_in(client).status_code == 200
    assert client.get("/api/v1/auth/me").status_code == 200


@contextmanager
def fill_pages(table: str) -> Iterator[None]:
    """Adds rows until the last page of the table is full."""
    rows = {
        "django_session": "(session_key, session_data, expire_date) VALUES (%s, 'filler', now())",
        "rankloop_cache": "(cache_key, value, expires) VALUES (%s, 'filler', now() + interval '1 day')",
        "annotation_auditentry": """(at, actor, action, "table", row_id) VALUES (now(), %s, '', '', '')""",
    }
    number = 0
    with connection.cursor() as cursor:
        while True:
            try:
                cursor.execute(f"INSERT INTO {table} {rows[table]}", [f"filler-{number}"])
            except DatabaseError:
                break
            number += 1
            assert number < 1000
        yield


def test_session_change_that_cannot_be_stored_is_refused(
    owner: User, client_of: ClientOf, full_table: FullTable
) -> None:
    """The secret of an unfinished enrolment is kept in the session, which is stored after the view has
    run."""
    client = client_of(owner)
    client.raise_request_exception = False
    body = {"password": PASSWORD}
    with full_table("django_session"), fill_pages("django_session"):
        assert is_refused(client.post("/api/v1/account/second-factor", body, format="json"))
        assert client.get("/api/v1/auth/me").status_code == 200


@pytest.mark.usefixtures("empty_cache")
def test_login_is_refused_if_a_wrong_password_could_not_be_counted(
    owner: User, full_table: FullTable
) -> None:
    client = APIClient()
    with full_table("rankloop_cache"), fill_pages("rankloop_cache"):
        for _ in range(3):
            body = {"username": "alice", "password": "wrong"}
            assert is_refused(client.post("/api/v1/auth/login", body, format="json"))


def test_change_that_cannot_be_audited_is_refused(
    ada: User, project: Project, client_of: ClientOf, full_table: FullTable
) -> None:
    client = client_of(ada)
    with full_table("annotation_auditentry"), fill_pages("annotation_auditentry"):
        before = AuditEntry.objects.count()
        assert is_refused(client.patch("/api/v1/projects/support/", {"name": "New"}, format="json"))
        assert Project.objects.get().name == "Support"
        assert AuditEntry.objects.count() == before


def test_cache_raises_an_error_for_a_failed_write_but_not_for_a_race(db: None) -> None:
    cache.clear()
    assert cache.add("key", 1) is True
    assert cache.add("key", 2) is False
    assert cache.touch("key") is True
    assert cache.touch("none") is False
    assert cache.get("key") == 1
