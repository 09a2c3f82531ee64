"""One file or several files can contain several rankings of the same responses by the same annotator. The
newest ranking is a revision and becomes the current ranking. Earlier rankings are kept as history."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from annotation.content.importing.imports import import_file
from annotation.content.importing.report import ImportReport
from annotation.models import Comparison, Project, Ranking, RankingTask

pytestmark = pytest.mark.django_db


def row(best: int, annotator: str = "kim", **changes: Any) -> dict[str, Any]:
    order = [[best], [1 - best]]
    return {"prompt": "Q", "responses": ["a", "b"], "tiers": order, "annotator": annotator, **changes}


def take(project: Project, *rows: dict[str, Any]) -> ImportReport:
    return import_file(project=project, file=io.BytesIO("\n".join(map(json.dumps, rows)).encode()))


def standing() -> list[tuple[str, str]]:
    return [
        (pair.ranking.annotator_label, pair.preferred.text)
        for pair in Comparison.objects.current().select_related("ranking", "preferred").order_by("id")
    ]


def test_repeated_ranking_in_one_file_is_a_revision(project: Project) -> None:
    report = take(project, row(0), row(1, "lee"), row(1), row(0))
    # The fourth row is identical to the first, so it is the same ranking, not a second revision.
    assert (report.rankings, report.tasks, report.unchanged) == (3, 1, 1)
    assert [(quirk.name, quirk.count, quirk.lines) for quirk in report.quirks] == [
        ("same-annotator-again", 1, [3])
    ]
    assert standing() == [("lee", "b"), ("kim", "b")]
    assert Ranking.objects.count() == 3


def test_repeated_ranking_in_a_later_file_is_a_revision(project: Project) -> None:
    take(project, row(0), row(0, "lee"))
    report = take(project, row(1), row(0, "lee"))
    assert (report.rankings, report.unchanged) == (1, 1)
    assert standing() == [("lee", "a"), ("kim", "b")]
    first, second = Ranking.objects.filter(annotator_label="kim").order_by("id")
    assert second.supersedes == first


def test_importing_the_corrected_file_again_changes_nothing(project: Project) -> None:
    take(project, row(0), row(1))
    report = take(project, row(0), row(1))
    assert (report.rankings, report.unchanged) == (0, 2)
    assert standing() == [("kim", "b")]


def test_three_revisions_form_one_chain(project: Project) -> None:
    take(project, row(0, comment="1"), row(0, comment="2"))
    take(project, row(0, comment="3"))
    assert list(Ranking.objects.current().values_list("comment", flat=True)) == ["3"]
    assert [
        one.supersedes.comment
        for one in Ranking.objects.exclude(supersedes=None).order_by("id")
        if one.supersedes
    ] == ["1", "2"]


def test_rankings_without_an_annotator_do_not_supersede_each_other(project: Project) -> None:
    report = take(project, row(0, ""), row(1, ""))
    assert (report.rankings, report.quirks) == (2, [])
    assert sorted(standing()) == [("", "a"), ("", "b")]


def test_other_columns_are_stored_as_metadata_of_their_row(project: Project) -> None:
    take(project, row(0, given_at="2024-02-03T04:05:06+02:00", topic="x", metadata={"source": "y"}))
    task = RankingTask.objects.select_related("prompt").get()
    assert task.metadata == task.prompt.metadata == {"topic": "x", "source": "y"}
    given_at = Ranking.objects.get().given_at
    assert given_at is not None
    assert given_at.isoformat() == "2024-02-03T02:05:06+00:00"
    take(project, {**row(0, topic="z"), "responses": ["a", "c"]})
    assert [one.metadata for one in RankingTask.objects.order_by("id")][1] == {"topic": "z"}
