"""The database logs every change and its actor, regardless of how the change is made."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from allauth.mfa.models import Authenticator
from asgiref.sync import async_to_sync
from django.core.management import call_command
from django.db import IntegrityError, connection, connections, transaction
from django.test import AsyncClient
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.accounts import tokens
from annotation.database import acting
from annotation.desk.submission import submit_ranking
from annotation.models import ApiToken, AuditEntry, Membership, Project, Ranking, RankingTask, User
from annotation.projects import projects
from config.celery import app
from tests.annotation.answering import claim, strict_order
from tests.annotation.content.imports.jobs import imported

ClientOf = Callable[[User | None], APIClient]


def _of(row: Any) -> list[AuditEntry]:
    return list(AuditEntry.objects.filter(row_id=str(row.pk)).order_by("id"))


def test_log_entry_of_a_request_names_the_user_and_only_the_changed_fields(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    response = client_of(mona).patch("/api/v1/projects/support/", {"overlap": 3, "name": "Support"})
    assert response.status_code == 200
    entry = _of(project)[-1]
    assert (entry.actor, entry.action, entry.table) == (f"user:{mona.pk}", "update", "annotation_project")
    assert (entry.before, entry.after) == ({"overlap": 1}, {"overlap": 3})
    assert entry.project_id == project.pk


def test_change_made_with_a_token_is_attributed_to_its_owner(project: Project, mona: User) -> None:
    _, text = tokens.create_token(user=mona, name="a script")
    client = APIClient(headers={"Authorization": f"Bearer {text}"})
    assert client.patch("/api/v1/projects/support/", {"overlap": 2}).status_code == 200
    assert _of(project)[-1].actor == f"user:{mona.pk}"


def test_bulk_changes_and_manual_sql_are_logged_row_by_row(project: Project) -> None:
    members = Membership.objects.filter(project=project, role="annotator")
    with acting.acting_as("command:root:pause"):
        members.update(state="paused")
    for member in members:
        entry = _of(member)[-1]
        assert (entry.actor, entry.before, entry.after) == (
            "command:root:pause",
            {"state": "active"},
            {"state": "paused"},
        )
    rows = list(members)
    for row in rows:
        row.role = "reviewer"
    Membership.objects.bulk_update(rows, ["role"])
    assert [_of(row)[-1].after for row in rows] == [{"role": "reviewer"}] * 2
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM annotation_membership WHERE id = %s", [rows[0].pk])
    gone = _of(rows[0])[-1]
    assert (gone.action, gone.after) == ("delete", None)
    assert gone.before is not None
    assert gone.before["role"] == "reviewer"


def test_decisions_about_a_task_are_logged_but_slot_changes_are_not(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    answer_by(project, alice)
    claim(project, alice)
    told = AuditEntry.objects.of_project(project)
    assert not told.filter(table__in=["annotation_rankingtask", "annotation_assignment"]).exists()
    gold = [[str(id)] for id in tasks[2].responses.values_list("pk", flat=True)]
    for change in ({"priority": 5}, {"gold_tiers": gold}, {"state": "dropped"}):
        RankingTask.objects.filter(pk=tasks[2].pk).update(**change)
        assert _of(tasks[2])[-1].after == change


def answer_by(project: Project, annotator: User) -> Ranking:
    assignment = claim(project, annotator)
    answer = strict_order(assignment.shown_order)
    return submit_ranking(assignment=assignment, token=assignment.token, answer=answer)[0]


def test_rankings_are_logged_one_by_one_and_an_import_as_one_entry_with_counts(
    project: Project, tasks: list[RankingTask], alice: User
) -> None:
    ranking = answer_by(project, alice)
    (entry,) = _of(ranking)
    assert entry.after == {"task_id": str(ranking.task_id), "kind": "annotation", "source": "api"}
    shown = list(tasks[3].responses.values_list("pk", flat=True))
    Ranking.objects.bulk_create(
        Ranking(
            project=project,
            task=tasks[3],
            annotator_label=f"rater {number}",
            source="import",
            import_key=str(number),
            shown_order=shown,
            tiers=[[str(id)] for id in shown],
            touched=True,
        )
        for number in range(3)
    )
    imported = AuditEntry.objects.filter(table="annotation_ranking", row_id="", project_id=project.pk)
    assert [entry.after for entry in imported] == [{"source": "import", "rows": 3}]


@pytest.mark.django_db(transaction=True)
def test_uploader_is_the_actor_of_imported_rows(project: Project, mona: User, client_of: ClientOf) -> None:
    row = {
        "prompt": "Where is my order?",
        "responses": ["In depot 1.", "Lost."],
        "tiers": [[0], [1]],
    }
    assert imported(client_of(mona), json.dumps(row).encode())["rankings"] == 1
    (entry,) = AuditEntry.objects.filter(table="annotation_ranking", project_id=project.pk)
    assert (entry.actor, entry.after) == (f"user:{mona.pk}", {"source": "import", "rows": 1})


def test_change_of_a_secret_is_logged_without_the_secret(mona: User) -> None:
    mona.set_password("another correct horse")
    mona.save()
    assert _of(mona)[-1].after == {"password": "(not kept)"}
    row, text = tokens.create_token(user=mona, name="a script")
    made = _of(row)[-1].after
    assert made is not None
    assert made["digest"] == "(not kept)"
    before = AuditEntry.objects.count()
    tokens.token_holder(token=text)
    assert AuditEntry.objects.count() == before, "using a token is not logged"
    tokens.revoke_token(token=row)
    assert set(_of(row)[-1].after or {}) == {"revoked_at"}
    told = str([(entry.before, entry.after) for entry in AuditEntry.objects.all()])
    assert mona.password not in told
    assert ApiToken.objects.get(pk=row.pk).digest not in told


def test_second_factor_is_logged_without_its_secret(mona: User) -> None:
    factor = Authenticator.objects.create(user=mona, type="totp", data={"secret": "JBSWY3DPEHPK3PXP"})
    row_id = str(factor.pk)
    factor.delete()
    told = AuditEntry.objects.filter(table="mfa_authenticator", row_id=row_id).order_by("id")
    assert [entry.action for entry in told] == ["insert", "delete"]
    assert "JBSWY3DPEHPK3PXP" not in str([(entry.before, entry.after) for entry in told])


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE annotation_auditentry SET actor = 'nobody'",
        "DELETE FROM annotation_auditentry",
        "TRUNCATE annotation_auditentry",
    ],
)
def test_table_owner_cannot_rewrite_the_log(project: Project, change: str) -> None:
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change)


@pytest.mark.django_db(transaction=True)
def test_truncating_a_table_is_logged(project: Project) -> None:
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE annotation_membership")
    newest = AuditEntry.objects.order_by("-id").first()
    assert newest is not None
    assert (newest.action, newest.table) == ("truncate", "annotation_membership")


@pytest.mark.django_db(transaction=True)
def test_actor_does_not_leak_to_the_next_request_on_a_connection(
    project: Project, mona: User, ada: User, client_of: ClientOf
) -> None:
    """The connection is in autocommit mode. The test bypasses the application and executes SQL on the
    connection after a successful request, after a refused request, and after a transaction that was rolled
    back."""

    def rename(name: str) -> None:
        with connection.cursor() as cursor:  # this bypasses the application, so no actor is set
            raw = cursor.connection
            assert raw is not None
            raw.execute("UPDATE annotation_project SET name = %s", [name])

    def last_actor() -> str:
        return _of(project)[-1].actor

    backend = connection.connection
    client_of(mona).patch("/api/v1/projects/support/", {"overlap": 2})
    assert last_actor() == f"user:{mona.pk}"
    rename("one")
    assert last_actor().startswith("database:")
    client_of(ada).patch("/api/v1/projects/support/", {"overlap": 3})
    assert last_actor() == f"user:{ada.pk}"
    assert client_of(mona).patch("/api/v1/projects/support/", {"overlap": 999}).status_code == 422
    rename("two")
    assert last_actor().startswith("database:")
    with acting.acting_as("command:root:fails"), transaction.atomic():
        Project.objects.update(name="three")
        transaction.set_rollback(True)
    rename("four")
    assert last_actor().startswith("database:")
    Project.objects.update(name="five")
    assert last_actor().startswith("database:"), "without an actor, the entry names the database account"
    assert connection.connection is backend


def test_each_write_in_a_transaction_has_its_own_actor(project: Project) -> None:
    with acting.acting_as("command:root:one"):
        Project.objects.update(overlap=2)
        with acting.acting_as("task:two"), transaction.atomic():
            Project.objects.update(overlap=3)
            transaction.set_rollback(True)
        Project.objects.update(overlap=4)
    Project.objects.update(overlap=5)
    actors = [entry.actor for entry in _of(project)[-3:]]
    assert actors[:2] == ["command:root:one"] * 2
    assert actors[2].startswith("database:")


@pytest.mark.django_db(transaction=True)
def test_concurrent_threads_have_their_own_actors(project: Project, add_tasks: Any) -> None:
    tasks = add_tasks(project, 8)
    barrier = threading.Barrier(8, timeout=30)

    def work(task: RankingTask) -> None:
        try:
            with acting.acting_as(f"task:{task.pk}"):
                barrier.wait()
                for priority in range(1, 6):
                    RankingTask.objects.filter(pk=task.pk).update(priority=priority)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=[task]) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for task in tasks:
        assert [entry.actor for entry in _of(task)] == [f"task:{task.pk}"] * 5


@pytest.mark.django_db(transaction=True)
def test_external_sql_is_attributed_to_the_database_account(project: Project) -> None:
    settings = connection.get_connection_params()
    wanted = {name: settings[name] for name in ("dbname", "user", "host", "port") if settings.get(name)}
    with psycopg.connect(**wanted) as outside:
        outside.execute("UPDATE annotation_project SET overlap = 7")
    entry = _of(project)[-1]
    assert (entry.actor, entry.after) == (f"database:{settings['user']}", {"overlap": 7})


def test_actor_name_cannot_inject_sql(project: Project) -> None:
    with acting.acting_as("x', true); DROP TABLE annotation_project; -- %s"):
        Project.objects.filter(pk=project.pk).update(overlap=2)
    assert _of(project)[-1].actor == "x___true___DROP_TABLE_annotation_project__--__s"


def test_setting_the_actor_does_not_add_a_query(project: Project) -> None:
    with (
        acting.acting_as("task:x"),
        CaptureQueriesContext(
            connection,
        ) as queries,
    ):
        assert Project.objects.filter(pk=project.pk).update(overlap=2) == 1
        made = projects.create_project(slug="another")
        assert Project.objects.filter(pk=made.pk).exists()
    assert len(queries) == len([q for q in queries if "SAVEPOINT" in q["sql"]]) + 3


def test_background_task_is_the_actor_of_its_writes(
    project: Project, alice: User, tasks: list[RankingTask]
) -> None:
    from celery import shared_task

    app.loader.import_default_modules()  # connects the signals of annotation.tasks

    @shared_task(name="tests.rename")  # type: ignore[untyped-decorator]
    def rename() -> None:
        Project.objects.update(overlap=2)

    rename.apply()
    assert _of(project)[-1].actor == "task:tests.rename"
    assert acting.current_actor() == ""


def test_commands_are_logged_with_the_operating_system_account(db: None) -> None:
    assert acting.command_actor("create_project").startswith("command:")
    with acting.acting_as(acting.command_actor("create_project")):
        call_command("create_project", "made", "--preset", "ranking")
    entry = _of(Project.objects.get(slug="made"))[0]
    assert entry.actor == acting.command_actor("create_project")
    assert entry.action == "insert"
    assert entry.before is None


def test_managers_read_the_log_of_their_project_and_admins_read_all_logs(
    project: Project, mona: User, ada: User, client_of: ClientOf
) -> None:
    elsewhere = projects.create_project(slug="elsewhere")
    client_of(mona).patch("/api/v1/projects/support/", {"overlap": 3})
    found = client_of(mona).get("/api/v1/projects/support/audit/").json()["results"]
    assert {entry["project_id"] for entry in found} == {str(project.pk)}
    assert (found[0]["actor_name"], found[0]["after"]) == ("mona", {"overlap": 3})
    site = client_of(ada).get("/api/v1/audit/?page_size=500").json()["results"]
    assert str(elsewhere.pk) in {entry["project_id"] for entry in site}
    assert "annotation_user" in {entry["table"] for entry in site}


def test_log_supports_filters_and_keyset_pagination(
    project: Project, mona: User, client_of: ClientOf
) -> None:
    client = client_of(mona)
    for overlap in (2, 3, 4):
        client.patch("/api/v1/projects/support/", {"overlap": overlap})
    url = "/api/v1/projects/support/audit/"

    def found(**wanted: str) -> list[Any]:
        response = client.get(url, wanted)
        assert response.status_code == 200, response.content
        return [(entry["action"], entry["after"]) for entry in response.json()["results"]]

    changes = [("update", {"overlap": overlap}) for overlap in (4, 3, 2)]
    assert found(actor="mona") == found(actor=f"user:{mona.pk}") == changes
    assert found(action="update", table="annotation_project", row=str(project.pk)) == changes
    assert found(actor="nobody") == found(table="annotation_ranking") == []
    middle = AuditEntry.objects.get(row_id=str(project.pk), after={"overlap": 3})
    assert found(actor="mona", after=middle.at.isoformat()) == changes[:2]
    assert found(actor="mona", before=middle.at.isoformat()) == changes[2:]
    for wrong in ({"action": "wish"}, {"after": "yesterday"}):
        assert client.get(url, wrong).status_code == 422
    first = client.get(url, {"actor": "mona", "page_size": 2}).json()
    client.patch("/api/v1/projects/support/", {"overlap": 9})  # a new entry doesn't shift the pages
    rest = client.get(first["next"]).json()
    assert [entry["after"]["overlap"] for entry in (*first["results"], *rest["results"])] == [4, 3, 2]


def test_log_page_needs_a_fixed_number_of_queries(project: Project, mona: User, client_of: ClientOf) -> None:
    client = client_of(mona)
    counts = []
    for overlap in (2, 3):
        client.patch("/api/v1/projects/support/", {"overlap": overlap})
        with CaptureQueriesContext(connection) as queries:
            client.get("/api/v1/projects/support/audit/")
        counts.append(len(queries))
    assert counts[0] == counts[1]


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        ({}, "audit_of_project"),
        ({"actor": "user:1"}, "audit_of_actor"),
        ({"row": "1"}, "audit_of_row"),
        ({"after": timezone.now(), "before": timezone.now()}, "audit_by_time"),
    ],
)
def test_each_log_filter_has_an_index(project: Project, wanted: dict[str, Any], index: str) -> None:
    entries = AuditEntry.objects.all() if wanted else AuditEntry.objects.of_project(project)
    with connection.cursor() as cursor:
        # With only a few rows, the planner could choose any index.
        cursor.execute(
            'INSERT INTO annotation_auditentry (actor, action, "table", row_id)'
            " SELECT 'somebody', 'insert', 'a_table', n::text || 'x' FROM generate_series(1, 5000) n"
        )
        cursor.execute("ANALYZE annotation_auditentry")
        cursor.execute("SET LOCAL enable_seqscan = off")
    page = entries.matching(**wanted)
    assert index in (page if "after" in wanted else page.order_by("-id")[:100]).explain()


@pytest.mark.django_db(transaction=True)
def test_concurrent_requests_on_one_event_loop_have_their_own_actors(
    project: Project, mona: User, ada: User
) -> None:
    """Requests run as under Uvicorn: middleware is async, and views run in threads."""
    clients = []
    for person in (mona, ada):
        client = AsyncClient()
        client.force_login(person)
        clients.append(client)

    async def change(client: AsyncClient, name: str) -> int:
        body = {"name": name}
        response = await client.patch("/api/v1/projects/support/", body, content_type="application/json")
        return response.status_code

    async def everyone() -> list[int]:
        calls = [
            change(client, f"{who}-{turn}")
            for turn in range(5)
            for client, who in zip(clients, ("mona", "ada"), strict=True)
        ]
        return await asyncio.gather(*calls)

    assert async_to_sync(everyone)() == [200] * 10
    named = {f"user:{mona.pk}": "mona", f"user:{ada.pk}": "ada"}
    changes = [entry for entry in _of(project) if entry.after and "name" in entry.after][-10:]
    assert [named[entry.actor] for entry in changes] == [
        str((entry.after or {})["name"]).split("-")[0] for entry in changes
    ]
