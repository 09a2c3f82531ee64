"""A form limits the number of responses per task. New tasks that do not fit the form are refused. A new form
that does not fit the open tasks is also refused."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from annotation.content import adding
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.content.importing.imports import import_file
from annotation.content.importing.report import ImportReport
from annotation.forms.presets import PRESETS
from annotation.models import Project, RankingTask, User
from annotation.projects.projects import create_project
from tests.annotation.answering import wrong_fields


def _take(project: Project, *rows: dict[str, Any]) -> ImportReport:
    return import_file(project=project, file=io.BytesIO(b"\n".join(json.dumps(row).encode() for row in rows)))


def _row(k: int, **more: Any) -> dict[str, Any]:
    return {"prompt": f"Choose of {k}", "responses": [f"answer {i}" for i in range(k)], **more}


@pytest.mark.parametrize(
    ("preset", "takes", "refuses"),
    [
        ("ranking", [2, 10], []),
        ("instructgpt", [4, 9], [3, 10]),
        ("llama2", [2], [3]),
        ("hh", [2], [4]),
        ("helpsteer2", [2], [3]),
        ("arena", [2], [3]),
        ("oasst", [2, 9], []),
    ],
)
def test_tasks_that_do_not_fit_the_form_are_refused(
    db: None, preset: str, takes: list[int], refuses: list[int]
) -> None:
    project = create_project(slug="sizes", preset=preset)
    report = _take(project, *[_row(k) for k in takes + refuses])
    assert (report.tasks, report.failed) == (len(takes), len(refuses))
    for error in report.errors:
        assert "this project's answer form requires" in error.reason


def test_error_states_the_actual_and_the_allowed_size(db: None) -> None:
    report = _take(create_project(slug="pairs", preset="hh"), _row(4))
    assert [error.reason for error in report.errors] == [
        "the task has 4 responses, but this project's answer form requires 2"
    ]
    draft = TaskDraft(
        messages=[{"role": "user", "content": "Hi"}],
        responses=[ResponseDraft(text) for text in "abc"],
    )
    counts = adding.add_ranking_tasks(
        project=create_project(slug="many", preset="instructgpt"), items=[draft]
    )
    assert [refused.reason for refused in counts.refused] == [
        "the task has 3 responses, but this project's answer form requires 4 to 9"
    ]


def test_imported_rankings_need_not_fit_the_form(db: None) -> None:
    project = create_project(slug="pairs", preset="hh")
    report = _take(project, _row(3, tiers=[[1], [0, 2]]))
    assert (report.tasks, report.rankings, report.failed) == (1, 1, 0)


def test_form_that_does_not_fit_the_open_tasks_is_refused(
    project: Project, tasks: list[RankingTask], mona: User, client_of: Callable[[User | None], APIClient]
) -> None:
    desk, form = client_of(mona), PRESETS["hh"].to_json()
    response = desk.patch("/api/v1/projects/support/", {"form": form, "name": "Pairs"})
    assert (response.status_code, wrong_fields(response)) == (422, ["form.responses"])
    assert "4 with 3 responses" in response.json()["errors"][0]["reason"]
    project.refresh_from_db()
    assert (project.form, project.name) == (PRESETS["ranking"].to_json(), "Support")
    RankingTask.objects.update(state=RankingTask.State.DROPPED)
    assert desk.patch("/api/v1/projects/support/", {"form": form}).status_code == 200
