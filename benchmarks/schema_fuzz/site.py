"""The users and rows to which requests are sent. Import this module after `django.setup()`."""

from __future__ import annotations

import gzip
import json
import os
import re
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import get_resolver
from django.utils import timezone
from django.utils.crypto import get_random_string
from schemathesis.schemas import APIOperation

from annotation.accounts.invitations import invite
from annotation.accounts.members import add_member
from annotation.accounts.tokens import create_token
from annotation.api.endpoint import Line, lines
from annotation.api.permissions import RULES, Who, scopes_for
from annotation.content import adding
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.datasets.snapshots import freeze_snapshot
from annotation.desk import allocation
from annotation.desk.answers import Answer
from annotation.desk.submission import submit_ranking
from annotation.desk.task_problems import report_problem
from annotation.models import ApiToken, Assignment, Import, Project, User
from annotation.models.project import Role
from annotation.oversight.exclusion import Who as Excluded
from annotation.oversight.exclusion import exclude_annotator
from annotation.projects.projects import create_project
from annotation.webhooks.endpoints import create_endpoint
from benchmarks.requests import ROOT, manage
from benchmarks.schema_fuzz.cases import HEADERS, Identity
from training.models import ModelVersion, RunEvent, TrainingRun

REAL_ROWS = 300
N_EVENTS = 8
TABLE = {
    ("/" + re.sub(r"<\w+:(\w+)>", r"{\1}", line.route), line.method): line
    for line in lines(get_resolver())
    if isinstance(line, Line)
}


def import_real_data(home: Path) -> str:
    """Create a project with real comparisons or, if there is no real data, with generated tasks. Return its
    slug."""
    folder = Path(os.environ.get("RANKLOOP_DATA", ROOT.parent / "shared" / "data"))
    source, rows = folder / "hh-rlhf" / "helpful-base.test.jsonl.gz", home / "rows.jsonl"
    if source.exists():
        with gzip.open(source, "rt") as file:
            rows.write_text("".join(islice(file, REAL_ROWS)))
    else:
        made = ({"prompt": f"Question {n}?", "responses": [f"A {n}", f"B {n}"]} for n in range(REAL_ROWS))
        rows.write_text("".join(json.dumps(row) + "\n" for row in made))
    manage(home / "state", "create_project", "real", "--preset", "ranking")
    manage(home / "state", "import_responses", str(rows), "--project", "real")
    return "real"


class World:
    """New users of every role, and a new project with a row of every kind."""

    def __init__(self, number: int, real: str) -> None:
        self.slug = f"support-{number}"
        self.listed = real if number % 2 else self.slug
        self.people = {name: _user(f"{name}-{number}", admin=name == "ada") for name in _NAMES}
        self.project = create_project(slug=self.slug, name="Support", preset="ranking")
        for name, role in _ROLES.items():
            for slug in (self.slug, real):
                add_member(project=Project.objects.get(slug=slug), user=self.people[name], role=role)
        self.rows = self._rows()
        lease = Assignment.objects.get(pk=self.rows["assignments"])
        self.fields = {
            "token": str(lease.token),
            "tiers": [[str(response)] for response in lease.shown_order],
            "project": self.slug,
            "username": self.people["ben"].username,
            "kind": "sft",
        }
        self.identities = [
            *(_with_session(user) for user in self.people.values()),
            *(_with_token(user) for user in self.people.values()),
            *(_with_session(self.people["ada"], kind) for kind in ("expired", "ended")),
            *(_with_token(self.people["ada"], kind) for kind in ("expired", "revoked")),
            Identity("nobody"),
            *(Identity("malformed token", {"Authorization": text}) for text in HEADERS["Authorization"]),
            *(Identity("malformed cookie", {"Cookie": text}) for text in HEADERS["Cookie"]),
        ]

    def allowed(self, operation: APIOperation) -> Identity:
        line = TABLE[operation.path, operation.method.upper()]
        rule = RULES[line.action]
        user = self.people["alice" if rule.who is Who.OWNER else "ada"]
        return _with_token(user) if scopes_for(line.action, line.method) else _with_session(user)

    def known(self, operation: APIOperation) -> dict[str, str]:
        """IDs of existing rows. In every second round, list requests use the project with real data."""
        found = re.findall(r"([\w-]+)/\{(\w+)\}", operation.path)
        if operation.method == "get" and found == [("projects", "slug")]:
            return {"slug": self.listed}
        return {name: str(self.rows[word]) for word, name in found}

    def _rows(self) -> dict[str, Any]:
        project, people = self.project, self.people
        drafts = [
            TaskDraft(
                messages=[{"role": "user", "content": f"Question {n}?"}],
                responses=[ResponseDraft(f"Answer {k}", f"model-{k}") for k in range(3)],
            )
            for n in range(12)
        ]
        adding.add_ranking_tasks(project=project, items=drafts)
        given = _claim(project, people["rita"])
        answer = Answer(tiers=[[each] for each in given.shown_order], touched=True, duration_ms=12_000)
        submit_ranking(assignment=given, token=given.token, answer=answer, idempotency_key="1")
        problem, _ = report_problem(assignment=given, kind="unsafe")
        excluded = exclude_annotator(
            project=project, who=Excluded(annotator=people["oscar"]), reason="a stranger"
        )
        webhook, _ = create_endpoint(
            project=project, url="https://example.org/hook", events=["snapshot.frozen"]
        )
        snapshot = freeze_snapshot(project=project, name="first", created_by=people["mona"])
        run = TrainingRun.objects.create(
            project=project,
            kind="sft",
            recipe={},
            inputs={},
            state="cancelled",
            finished_at=timezone.now(),
            last_seq=N_EVENTS,
        )
        RunEvent.objects.bulk_create(
            RunEvent(run=run, seq=n, attempt=1, type="metrics", step=n, data={"values": {"loss": 1.0}})
            for n in range(1, N_EVENTS + 1)
        )
        model = ModelVersion.objects.create(
            project=project,
            name=f"{self.slug}-sft-1",
            kind="policy",
            base_model="demo-world",
            path="models/x",
        )
        imported = Import.objects.create(
            project=project, created_by=people["mona"], file_name="rows.jsonl", size=100, options={}
        )
        return {
            "projects": self.slug,
            "members": people["alice"].username,
            "tasks": given.task_id,
            "tokens": create_token(user=people["alice"], name="script")[0].pk,
            "oidc": "company",
            "assignments": _claim(project, people["alice"]).pk,
            "snapshots": snapshot.pk,
            "problems": problem.pk,
            "reviews": given.task_id,
            "webhooks": webhook.pk,
            "webhook-deliveries": webhook.deliveries.get().message_id,
            "exclusions": excluded.pk,
            "invitations": invite(project=project, role="annotator", by=people["mona"])[0].pk,
            "imports": imported.pk,
            "runs": run.pk,
            "models": model.pk,
        }


_ROLES = {"alice": Role.ANNOTATOR, "ben": Role.ANNOTATOR, "rita": Role.REVIEWER, "mona": Role.MANAGER}
_NAMES = [*_ROLES, "ada", "oscar"]


def _user(name: str, *, admin: bool) -> User:
    user = User(username=name, is_superuser=admin)
    user.set_unusable_password()
    user.save()
    return user


def _claim(project: Project, annotator: User) -> Assignment:
    return allocation.claim_tasks(project=project, annotator=annotator)[0]


def _role(user: User) -> str:
    return user.username.rpartition("-")[0]


def _with_token(user: User, kind: str = "valid") -> Identity:
    token, text = create_token(user=user, name="schema")
    if kind == "expired":
        ApiToken.objects.filter(pk=token.pk).update(expires_at=timezone.now() - timedelta(days=1))
    elif kind == "revoked":
        ApiToken.objects.filter(pk=token.pk).update(revoked_at=timezone.now())
    return Identity(f"{_role(user)}, {kind} token", {"Authorization": f"Bearer {text}"})


def _with_session(user: User, kind: str = "valid") -> Identity:
    client = Client()
    client.force_login(user)
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    if kind == "expired":
        Session.objects.filter(session_key=key).update(expire_date=timezone.now() - timedelta(days=1))
    elif kind == "ended":
        Session.objects.filter(session_key=key).delete()
    csrf = get_random_string(32)
    cookies = {settings.SESSION_COOKIE_NAME: key, settings.CSRF_COOKIE_NAME: csrf}
    return Identity(f"{_role(user)}, {kind} session", {"X-CSRFToken": csrf}, cookies)
