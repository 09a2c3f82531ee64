"""A dry run produces the same report as the import and stores nothing."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from rest_framework.test import APIClient

from annotation.content.importing.imports import import_file
from annotation.models import AuditEntry, Project, Prompt, Ranking, RankingTask, Response, User
from tests.annotation.content.imports.jobs import executed, upload
from tests.annotation.real_data import hh_file, real_file

pytestmark = pytest.mark.django_db


def counts() -> list[int]:
    return [model._default_manager.count() for model in (Prompt, Response, RankingTask, Ranking, AuditEntry)]


@pytest.mark.parametrize(
    "name",
    [
        "kway/qa-feedback-4way.jsonl.gz",
        "kway/oasst-best-of-11.jsonl.gz",
        "annotators/tulu1-human-eval.jsonl.gz",
    ],
)
def test_dry_run_and_import_produce_the_same_report(project: Project, name: str) -> None:
    before = counts()
    tried = import_file(project=project, file=real_file(name), dry_run=True)
    assert counts() == before
    done = import_file(project=project, file=real_file(name))
    assert tried.dry_run
    assert {**tried.to_json(), "dry_run": False} == done.to_json()
    assert done.prompts


def test_dry_run_counts_existing_rows_as_unchanged(project: Project) -> None:
    import_file(project=project, file=hh_file("helpful-base.test"))
    tried = import_file(project=project, file=hh_file("helpful-base.test"), dry_run=True)
    assert (tried.read, tried.unchanged, tried.rankings) == (366, 366, 0)


def rows() -> bytes:
    good = {"prompt": "Q", "responses": ["a", "b", "a"], "tiers": [[1], [0], [2]]}
    return b"\n".join([json.dumps(good).encode(), b"{broken"])


def test_dry_run_works_over_the_api(
    project: Project, mona: User, client_of: Callable[[User], APIClient]
) -> None:
    def post(**fields: Any) -> Any:
        client = client_of(mona)
        found = executed(client, upload(client, rows(), **fields))
        assert found["dry_run"] == found["report"]["dry_run"]
        return found["report"]

    before = counts()
    tried = post(dry_run="true")
    assert (tried["dry_run"], counts()) == (True, before)
    done = post()
    assert {**tried, "dry_run": False} == done
    (quirk,) = done["quirks"]
    assert (quirk["name"], quirk["count"], quirk["lines"]) == ("repeated-response", 1, [1])
    assert done["errors"][0]["line"] == 2


def test_dry_run_works_on_the_command_line(project: Project, tmp_path: Any) -> None:
    path, out = tmp_path / "rows.jsonl", io.StringIO()
    path.write_bytes(rows())
    before = counts()
    call_command(
        "import_responses",
        str(path),
        "--project",
        project.slug,
        "--dry-run",
        stdout=out,
        stderr=io.StringIO(),
    )
    assert counts() == before
    assert (
        "Would import 2 rows (rankloop) into support: 1 new prompt, 2 responses, 1 task, 1 ranking"
        in out.getvalue()
    )
    assert "1 × a response occurs twice" in out.getvalue()
