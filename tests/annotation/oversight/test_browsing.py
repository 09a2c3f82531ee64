"""Filters for tasks and rankings find the right rows and stay fast in large tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.test import APIClient

from annotation.content import adding
from annotation.content.drafts import ResponseDraft, TaskDraft
from annotation.content.importing.imports import import_file
from annotation.desk.answers import Answer
from annotation.desk.submission import revise_ranking, submit_ranking
from annotation.models import Project, RankingTask, User
from annotation.oversight import browsing
from annotation.oversight.exclusion import Who, exclude_annotator
from annotation.projects.projects import create_project
from tests.annotation.answering import claim, rank_next, wrong_fields

AddTasks = Callable[..., list[RankingTask]]
ClientOf = Callable[[User | None], APIClient]
TASKS, RANKINGS = "/api/v1/projects/support/tasks/", "/api/v1/projects/support/rankings/"


@pytest.fixture
def api(project: Project, mona: User, client_of: ClientOf) -> APIClient:
    return client_of(mona)


@pytest.fixture
def said(project: Project, add_tasks: AddTasks, alice: User, ben: User) -> list[RankingTask]:
    """Three tasks ranked by Alice and Ben, and one open task. Alice and Ben agree on the first task and
    disagree on the second. Alice comments on the second task and flags a response in the third."""
    add_tasks(project, 3, overlap=2)
    rank_next(project, alice, [0], [1], [2])
    rank_next(project, alice, [0], [1], [2], comment="Hard to say, 100%_sure\nof nothing")
    third = claim(project, alice)
    flagged = {third.shown_order[0]: ["unsafe"]}
    answer = Answer(tiers=[[id] for id in third.shown_order], touched=True, flags=flagged)
    submit_ranking(assignment=third, token=third.token, answer=answer)
    rank_next(project, ben, [0], [1], [2])
    rank_next(project, ben, [2], [1], [0])
    rank_next(project, ben, [0, 1, 2])
    draft = TaskDraft(
        messages=[
            {"role": "user", "content": 'He said "Größe"\nand 50 % of it'},
            {"role": "assistant", "content": "Of what?"},
            {"role": "user", "content": "答えて"},
        ],
        responses=[ResponseDraft("a", "other-model"), ResponseDraft("b")],
    )
    adding.add_ranking_tasks(project=project, items=[draft], round=2)
    return list(RankingTask.objects.filter(project=project).order_by("id"))


def found(api: APIClient, url: str, **sought: Any) -> list[dict[str, Any]]:
    answer = api.get(url, sought)
    assert answer.status_code == 200, answer.content
    rows: list[dict[str, Any]] = answer.json()["results"]
    return rows


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        ({}, [3, 2, 1, 0]),
        ({"state": "open"}, [3]),
        ({"state": "done"}, [2, 1, 0]),
        ({"kind": "gold"}, []),
        ({"round": 2}, [3]),
        ({"model": "other-model"}, [3]),
        ({"model": "model-1"}, [2, 1, 0]),
        ({"model": "model"}, []),
        ({"agreement_below": 0.5}, [2, 1]),
        ({"agreement_below": 1.01}, [2, 1, 0]),
        ({"has": "comment"}, [1]),
        ({"has": "flags"}, [2]),
        ({"has": "rewrite"}, []),
        ({"annotator": "ben"}, [2, 1, 0]),
        ({"annotator": "ben", "has": "comment"}, []),
        ({"annotator": "nobody"}, []),
        ({"says": "my order 1?"}, [1]),
        ({"says": "MY ORDER"}, [2, 1, 0]),
        ({"says": 'said "größe"'}, [3]),
        ({"says": '"\nand'}, [3]),
        ({"says": "50 %"}, [3]),
        ({"says": "5_ %"}, []),
        ({"says": "答"}, [3]),
        ({"says": "user"}, []),
        ({"says": "order", "state": "done", "agreement_below": 0.4, "has": "comment"}, [1]),
    ],
)
def test_each_filter_finds_the_matching_tasks(
    api: APIClient, said: list[RankingTask], sought: dict[str, Any], expected: list[int]
) -> None:
    assert [row["id"] for row in found(api, TASKS, **sought)] == [str(said[n].pk) for n in expected]


def test_list_row_summarises_its_task(api: APIClient, said: list[RankingTask]) -> None:
    found(api, TASKS, agreement_below=1)  # for this filter, the server computes the agreement
    by_id = {row["id"]: row for row in found(api, TASKS)}
    last, second = by_id[str(said[3].pk)], by_id[str(said[1].pk)]
    assert (last["excerpt"], last["agreement"], last["rankings"], last["open_slots"]) == (
        "答えて",
        None,
        0,
        1,
    )
    assert (second["excerpt"], second["rankings"], second["answered"]) == ("Where is my order 1?", 2, 2)
    assert second["agreement"] == pytest.approx(0.0)
    assert "prompt" not in second


@pytest.mark.parametrize(
    ("sought", "expected"),
    [
        ({}, ["ben", "ben", "ben", "alice", "alice", "alice"]),
        ({"annotator": "alice"}, ["alice"] * 3),
        ({"has": "comment"}, ["alice"]),
        ({"has": "flags"}, ["alice"]),
        ({"kind": "review"}, []),
        ({"source": "import"}, []),
        ({"task_kind": "gold"}, []),
        ({"round": 2}, []),
        ({"model": "model-2", "annotator": "ben"}, ["ben"] * 3),
        ({"says": "order 1"}, ["ben", "alice"]),
        ({"agreement_below": 0.2}, ["ben", "ben", "alice", "alice"]),
    ],
)
def test_each_filter_finds_the_matching_rankings(
    api: APIClient, said: list[RankingTask], sought: dict[str, Any], expected: list[str]
) -> None:
    assert [row["by"] for row in found(api, RANKINGS, **sought)] == expected


def test_tasks_and_rankings_can_be_filtered_by_time(api: APIClient, said: list[RankingTask]) -> None:
    now = timezone.now()
    for url, many in ((TASKS, 4), (RANKINGS, 6)):
        assert len(found(api, url, after=now - timedelta(hours=1), before=now + timedelta(hours=1))) == many
        assert found(api, url, after=now + timedelta(hours=1)) == []
        assert found(api, url, before=now - timedelta(hours=1)) == []


def test_revised_rankings_are_listed_once_and_excluded_ones_are_marked(
    api: APIClient, project: Project, tasks: list[RankingTask], alice: User, ben: User
) -> None:
    mine = rank_next(project, alice, [0], [1], [2])
    revise_ranking(assignment=mine, answer=Answer(tiers=[mine.shown_order]))
    rank_next(project, ben, [0, 1], [2])
    exclude_annotator(project=project, who=Who(annotator=ben), reason="random")
    rows = found(api, RANKINGS)
    assert [(row["by"], row["counts"], row["n_tiers"], row["n_responses"]) for row in rows] == [
        ("ben", False, 2, 3),
        ("alice", True, 1, 3),
    ]
    every = found(api, f"{TASKS}{mine.task_id}/rankings/")
    assert [(row["by"], row["superseded"], row["counts"]) for row in every] == [
        ("alice", False, True),
        ("alice", True, True),
    ]
    assert [len(row["tiers"]) for row in every] == [1, 3]
    assert every[0]["shown_order"] == [str(id) for id in mine.shown_order]
    task = api.get(f"{TASKS}{mine.task_id}/").json()
    assert (task["agreement"], task["prompt"]["split"]) == (None, mine.task.prompt.split)


def test_imported_annotator_names_can_be_searched(api: APIClient, project: Project, tmp_path: Any) -> None:
    file = tmp_path / "votes.jsonl"
    file.write_text(
        '{"prompt": "Q", "responses": [{"text": "a"}, {"text": "b"}], "tiers": [[0], [1]],'
        ' "annotator": "worker 7", "comment": "clear"}\n'
    )
    report = import_file(project=project, file=file)
    assert (report.rankings, report.errors) == (1, [])
    for sought in (
        {"annotator": "worker 7"},
        {"annotator": "worker 7", "has": "comment"},
        {"source": "import"},
    ):
        assert [row["by"] for row in found(api, RANKINGS, **sought)] == ["worker 7"]
    assert len(found(api, TASKS, annotator="worker 7")) == 1


def test_invalid_filter_is_named_in_the_error(api: APIClient) -> None:
    for url in (TASKS, RANKINGS):
        for field, wrong in (
            ("kind", "nonsense"),
            ("round", "-1"),
            ("agreement_below", "nan"),
            ("has", "beauty"),
            ("says", "x" * 201),
            ("after", "yesterday"),
        ):
            answer = api.get(url, {field: wrong})
            assert (answer.status_code, wrong_fields(answer)) == (422, [field])


def test_pages_are_complete_and_do_not_overlap(api: APIClient, project: Project, add_tasks: AddTasks) -> None:
    every = add_tasks(project, 25, k=2)
    seen: list[str] = []
    url: str | None = f"{TASKS}?page_size=10"
    while url:
        page = api.get(url).json()
        seen += [row["id"] for row in page["results"]]
        url = page["next"]
    assert seen == [str(task.pk) for task in reversed(every)]


# The number of tasks, each with one ranking. One task in fifty belongs to this project, and one ranking in
# twenty has a rare property.
MANY = 40_000
FILL = """
SET LOCAL session_replication_role = replica;
CREATE FUNCTION pg_temp.id(kind int, n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT (lpad(to_hex(n), 8, '0') || '-0000-7000-8000-00000000000' || kind)::uuid $$;
CREATE FUNCTION pg_temp.project(n bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS
    $$ SELECT CASE WHEN n %% 50 = 0 THEN %(here)s::uuid ELSE %(elsewhere)s::uuid END $$;
CREATE FUNCTION pg_temp.rare(n bigint) RETURNS bool LANGUAGE sql IMMUTABLE AS $$ SELECT n %% 1000 < 50 $$;
INSERT INTO annotation_prompt
       (id, project_id, messages, content_hash, metadata, split, created_at)
SELECT pg_temp.id(1, n), pg_temp.project(n),
       jsonb_build_array(jsonb_build_object('role', 'user', 'content', n || repeat(' and so on', 20))),
       n, '{}', 'train', now()
  FROM generate_series(1, %(n)s) n;
INSERT INTO annotation_response
       (id, prompt_id, text, model_name, sampling, content_hash, created_at)
SELECT pg_temp.id(2, n), pg_temp.id(1, n), repeat('An answer. ', 30),
       CASE WHEN pg_temp.rare(n) THEN 'rare' ELSE 'common' END, '{}', n, now()
  FROM generate_series(1, %(n)s) n;
INSERT INTO annotation_rankingtask
       (id, project_id, prompt_id, overlap, open_slots, answered, priority, round, kind, content_key, state,
        created_at)
SELECT pg_temp.id(3, n), pg_temp.project(n), pg_temp.id(1, n), 1, 0, 1, 0, 0, 'ranking', n, 'done', now()
  FROM generate_series(1, %(n)s) n;
INSERT INTO annotation_taskresponse (task_id, response_id, position)
SELECT pg_temp.id(3, n), pg_temp.id(2, n), 0 FROM generate_series(1, %(n)s) n;
INSERT INTO annotation_ranking
       (id, project_id, task_id, annotator_id, annotator_label, source, import_key, shown_order, tiers,
        places, ratings, comment, flags, rewrite, not_rankable, touched, created_at)
SELECT pg_temp.id(4, n), pg_temp.project(n), pg_temp.id(3, n),
       CASE WHEN pg_temp.rare(n) THEN NULL WHEN pg_temp.rare(n - 50) THEN %(oscar)s::uuid
            ELSE %(alice)s::uuid END,
       CASE WHEN pg_temp.rare(n) THEN 'worker 7' ELSE '' END, 'import', n, '{}', '[]', '{}', '{}',
       CASE WHEN pg_temp.rare(n) THEN 'hm' ELSE '' END,
       CASE WHEN pg_temp.rare(n) THEN '{"a": ["b"]}' ELSE '{}' END::jsonb,
       CASE WHEN pg_temp.rare(n) THEN 'better' END, true, true, now()
  FROM generate_series(1, %(n)s) n;
ANALYZE annotation_rankingtask, annotation_ranking, annotation_response, annotation_prompt,
        annotation_taskresponse;
"""
TASKS_BY_INDEX: list[tuple[browsing.TasksSought, str]] = [
    ({}, "task_pages"),
    ({"state": "done"}, "task_pages"),
    ({"round": 0}, "task_pages"),
    ({"model": "common"}, "task_pages"),
    ({"model": "rare"}, "response_of_model"),
    ({"has": "comment"}, "ranking_pages_with_comment"),
    ({"has": "flags"}, "ranking_pages_with_flags"),
    ({"annotator": "oscar"}, "ranking_own_newest"),
    ({"annotator": "worker 7"}, "ranking_pages_of_label"),
]
RANKINGS_BY_INDEX: list[tuple[browsing.RankingsSought, str]] = [
    ({}, "ranking_pages"),
    ({"annotator": "alice"}, "ranking_pages"),
    ({"annotator": "oscar"}, "ranking_own_newest"),
    ({"annotator": "worker 7"}, "ranking_pages_of_label"),
    ({"has": "comment"}, "ranking_pages_with_comment"),
    ({"has": "flags"}, "ranking_pages_with_flags"),
    ({"has": "rewrite"}, "ranking_pages_with_rewrite"),
]


def test_each_list_uses_its_index(project: Project, alice: User, oscar: User) -> None:
    other = create_project(slug="elsewhere")
    values: dict[str, Any] = {
        "here": project.pk,
        "elsewhere": other.pk,
        "alice": alice.pk,
        "oscar": oscar.pk,
        "n": MANY,
    }
    with connection.cursor() as cursor:
        cursor.execute(FILL, values)
    for tasks, index in TASKS_BY_INDEX:
        _served_by(index, browsing.tasks_sought(project=project, sought=tasks), "annotation_rankingtask")
    for rankings, index in RANKINGS_BY_INDEX:
        _served_by(index, browsing.rankings_sought(project=project, sought=rankings), "annotation_ranking")


def _served_by(index: str, rows: QuerySet[Any], table: str) -> None:
    plan = rows.order_by("-id")[:101].explain()
    assert re.search(rf"(using|on) {index}\b", plan), (index, plan)
    assert f"Seq Scan on {table} " not in plan, (index, plan)
