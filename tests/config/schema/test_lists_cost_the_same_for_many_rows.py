"""Every GET request makes as many database queries for 30 rows of each kind as for 3 rows.

If the length of a list does not change, the test proves nothing about that list, so `_grow` must add rows to
every list.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.urls import get_resolver
from rest_framework.test import APIClient

from annotation.accounts.invitations import invite
from annotation.accounts.members import add_member
from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, lines
from annotation.api.permissions import RULES, Who
from annotation.content import adding
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.content.importing.imports import import_file
from annotation.datasets.snapshots import freeze_snapshot
from annotation.desk import checks
from annotation.desk.reservations import reserve_tasks
from annotation.desk.submission import submit_ranking
from annotation.desk.task_problems import report_problem
from annotation.models import Import, Project, RankingTask, User
from annotation.models.project import Role
from annotation.oversight.exclusion import Who as Excluded
from annotation.oversight.exclusion import exclude_annotator
from annotation.projects.projects import create_project
from annotation.webhooks.endpoints import create_endpoint
from tests.annotation.answering import claim, strict_order
from tests.config.conftest import OWNER, Ids, cancelled_round, url_of
from training.models import Loop, ModelVersion, RunEvent, TrainingRun

FEW, MANY = 3, 30
GETS = [line for line in lines(get_resolver()) if isinstance(line, Line) and line.method == "GET"]
# Lists whose length doesn't depend on the database.
OF_ONE_LENGTH = {
    "api/v1/auth/providers",
    "api/v1/formats/",
    "api/v1/presets/",
    "api/v1/runs/recipes/",
    "api/v1/runs/<uuid:run_id>/log",
}


def _grow(project: Project, people: dict[str, User], rows: Ids, numbers: range) -> None:
    """Add one row of every kind for each number in `numbers`."""
    run = TrainingRun.objects.get(pk=rows["runs"])
    drafts = [
        TaskDraft(
            messages=[{"role": "user", "content": f"How late is train {n}?"}],
            responses=[ResponseDraft(f"{n + i} minutes.", f"model-{n}-{i}") for i in range(2)],
        )
        for n in numbers
    ]
    adding.add_ranking_tasks(project=project, items=drafts)
    _add_rankings(RankingTask.objects.get(pk=rows["tasks"]), [f"reader {n}" for n in numbers])
    answered = RankingTask.objects.asked().filter(project=project).order_by("id")
    for n in numbers:
        for person in ("ben", "rita"):
            given = claim(project, people[person])
            report_problem(assignment=given, kind="unsafe")
            # The two annotators disagree, so that there is something to review.
            order = sorted(given.shown_order, reverse=person == "rita")
            submit_ranking(
                assignment=given,
                token=given.token,
                answer=strict_order(order),
                idempotency_key=str(n),
            )
        member = User.objects.create(username=f"member-{n}")
        add_member(project=project, user=member, role=Role.ANNOTATOR)
        exclude_annotator(project=project, who=Excluded(annotator=member), reason="left")
        reserve_tasks(project=project, tasks=[answered[n].pk], usernames=["alice"])
        invite(project=project, role=Role.ANNOTATOR, by=people["mona"])
        known = TaskDraft(
            messages=[{"role": "user", "content": f"Is train {n} late?"}],
            responses=[ResponseDraft(f"{said} {n}", f"model-{said}") for said in ("Yes", "No")],
        )
        adding.add_ranking_tasks(project=project, items=[known])
        check = RankingTask.objects.filter(project=project).latest("id")
        order = [[pk] for pk in check.responses.values_list("pk", flat=True)]
        checks.set_kind(task=check, kind="gold", gold_tiers=order)
        if n < MANY // 2:  # a project can have at most 20 webhooks
            create_endpoint(project=project, url=f"https://example.org/{n}", events=["snapshot.frozen"])
        freeze_snapshot(project=project, name=f"snapshot-{n}", created_by=people["mona"])
        Import.objects.create(
            project=project, created_by=people["mona"], file_name=f"{n}.jsonl", size=1, options={}
        )
        other = create_project(slug=f"project-{n}", manager=people["mona"])
        add_member(project=other, user=people["ada"], role=Role.MANAGER)
        for owner in (project, other):
            mine = TrainingRun.objects.create(
                project=owner, kind="sft", recipe={}, inputs={}, created_by=people["ada"]
            )
            parent = ModelVersion.objects.create(
                project=owner, name=f"{owner.slug}-{n}", kind="policy", base_model="demo", path=f"models/{n}"
            )
            ModelVersion.objects.create(
                project=owner,
                name=f"{owner.slug}-{n}-child",
                kind="policy",
                base_model="demo",
                path=f"models/{n}",
                parent=parent,
                run=mine,
            )
        Loop.objects.create(project=other)
        cancelled_round(project, parent)
        for type, data in (
            ("metrics", {"values": {"loss": 1.0}}),
            ("sample", {"prompt": [], "before": "a", "after": "b", "scores": {}}),
        ):
            seq = RunEvent.objects.filter(run=run).count() + 1
            run.events.create(seq=seq, attempt=1, type=type, step=n, data=data)
        for name in ("ada", "mona", OWNER):
            create_token(user=people[name], name=f"token-{n}")


def _add_rankings(task: RankingTask, names: list[str]) -> None:
    """Import one ranking of the task for each annotator name."""
    responses = list(task.responses.values("text", model=F("model_name")))
    row = {"prompt": task.prompt.messages[-1]["content"], "responses": responses}
    lines = [json.dumps(row | {"tiers": [[0], [1, 2]], "annotator": name}) for name in names]
    report = import_file(project=task.project, file=io.BytesIO("\n".join(lines).encode()))
    assert (report.tasks, report.rankings) == (0, len(names)), report


def _url(line: Line, rows: Ids) -> str:
    """The endpoint's URL. For the audit log, the URL selects only this test's entries, because other tests'
    entries remain in the database."""
    if not line.route.endswith("audit/"):
        return url_of(line, rows)
    with connection.cursor() as cursor:
        cursor.execute("SELECT transaction_timestamp()")
        (began,) = cursor.fetchone()
    return f"{url_of(line, rows)}?{urlencode({'page_size': 500, 'after': began.isoformat()})}"


def _asked(client: APIClient, url: str) -> tuple[list[str], int | None]:
    """Makes a request. Returns the request's database queries, and the length of the response if it is a
    list."""
    with CaptureQueriesContext(
        connection,
    ) as queries:
        answer = client.get(url)
        if answer.streaming:
            return [], None
    body = answer.json() if answer.content else None
    results = body.get("results") if isinstance(body, dict) else body
    return [query["sql"] for query in queries], len(results) if isinstance(results, list) else None


@pytest.mark.parametrize("name", ["ada", "mona"])
def test_query_count_of_a_get_request_does_not_grow_with_the_number_of_rows(
    name: str,
    people: dict[str, User],
    rows: Ids,
    project: Project,
    client_of: Callable[[User | None], APIClient],
) -> None:
    project.overlap = 2
    project.save()
    _grow(project, people, rows, range(FEW))
    first: dict[str, tuple[list[str], int | None]] = {}
    reader = {line.route: OWNER if RULES[line.action].who is Who.OWNER else name for line in GETS}
    for line in GETS:
        client = client_of(people[reader[line.route]])
        client.get("/api/v1/auth/me")  # the first request fills the caches
        first[line.route] = _asked(client, _url(line, rows))
    _grow(project, people, rows, range(FEW, MANY))
    lists, short = 0, []
    for line in GETS:
        before, few = first[line.route]
        now, many = _asked(client_of(people[reader[line.route]]), _url(line, rows))
        assert len(now) <= len(before), f"{line.route} over {MANY} rows:\n" + "\n".join(now)
        if few is not None and line.route not in OF_ONE_LENGTH:
            lists += 1
            if many is None or many <= few:
                short.append(f"{line.route} still has {many} rows")
    assert not short, "add more rows to these lists in _grow"
    assert lists >= 12
