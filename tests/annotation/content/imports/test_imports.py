"""An import stores valid rows and reports invalid ones. Repeating the import changes nothing."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from annotation.content.importing import imports, lines
from annotation.content.importing import report as report_module
from annotation.content.importing.imports import import_file
from annotation.content.importing.report import ImportReport
from annotation.models import Comparison, Project, Prompt, Ranking, RankingTask, Response
from annotation.projects.projects import create_project
from config.problems import Problem
from preferences.formats.dialogues import dialogue_of
from preferences.quirks import IDENTICAL_PAIR, ONE_RESPONSE, REPEATED_RESPONSE
from tests.annotation.real_data import HH_FILES, hh_file, real_file

pytestmark = pytest.mark.django_db


@pytest.fixture
def wishes() -> Project:
    return create_project(slug="wishes")


def take(project: Project, *rows: Any, **options: Any) -> ImportReport:
    raw = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    return import_file(project=project, file=io.BytesIO(b"\n".join(raw)), **options)


def ranked(number: int = 1, **changes: Any) -> dict[str, Any]:
    return {
        "prompt": f"Question {number}",
        "responses": [{"text": "a", "model": "m1"}, {"text": "b", "model": "m2"}, "c"],
        "tiers": [[2], [0, 1]],
        "annotator": "kim",
        **changes,
    }


def unchanged(report: ImportReport) -> bool:
    return (report.prompts, report.responses, report.tasks, report.rankings) == (0, 0, 0, 0)


def test_oasst_import_adds_177_open_tasks_and_none_when_repeated(wishes: Project) -> None:
    path = real_file("kway/oasst-8-models.jsonl.gz")
    report = import_file(project=wishes, file=path)
    assert (report.format, report.read, report.failed) == ("oasst-models", 177, 0)
    assert report.tasks == report.prompts == RankingTask.objects.open().filter(project=wishes).count() == 177
    assert report.responses == Response.objects.count()
    assert report.rankings == 0
    sizes = [task.responses.count() for task in RankingTask.objects.prefetch_related("responses")]
    assert max(sizes) == 8
    assert min(sizes) >= 2
    assert sum(sizes) == report.responses

    again = import_file(project=wishes, file=path)
    assert unchanged(again)
    assert again.unchanged == 177


def test_every_hh_row_becomes_a_comparison_or_is_reported_as_a_quirk(wishes: Project) -> None:
    seen: set[tuple[str, str]] = set()
    total = 0
    for name, (rows, identical) in HH_FILES.items():
        originals = [json.loads(line) for line in gzip.decompress(hh_file(name).read_bytes()).splitlines()]
        new = {
            (row["chosen"], row["rejected"]) for row in originals if row["chosen"] != row["rejected"]
        } - seen
        seen |= new
        report = import_file(project=wishes, file=hh_file(name))
        assert (report.read, report.failed) == (rows, 0)
        assert report.rankings == len(new)
        total += len(new)
        flagged = [quirk.count for quirk in report.quirks if quirk.name == IDENTICAL_PAIR.name]
        assert flagged == ([identical] if identical else [])
    assert Ranking.objects.count() == Comparison.objects.count() == total
    assert not RankingTask.objects.open().exists()
    for name in HH_FILES:
        again = import_file(project=wishes, file=hh_file(name))
        assert unchanged(again)
        assert again.unchanged == again.read


def test_hh_comparison_prefers_the_chosen_response(wishes: Project) -> None:
    path = hh_file("helpful-base.test")
    import_file(project=wishes, file=path)
    originals = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    wanted = {(row["chosen"], row["rejected"]) for row in originals}
    stored = {
        (
            dialogue_of(pair.prompt.messages, pair.preferred.text),
            dialogue_of(pair.prompt.messages, pair.other.text),
        )
        for pair in Comparison.objects.select_related("prompt", "preferred", "other")
    }
    assert stored == wanted


def test_importing_prompts_adds_1033_prompts_and_none_when_repeated(wishes: Project) -> None:
    path = real_file("prompts/instructions.jsonl.gz")
    report = import_file(project=wishes, file=path)
    assert (report.format, report.read, report.failed) == ("prompts", 1033, 0)
    assert report.prompts == Prompt.objects.count()
    assert report.prompts + report.unchanged == 1033
    assert not RankingTask.objects.exists()
    assert Prompt.objects.filter(metadata__source__startswith="self-instruct").exists()
    assert unchanged(import_file(project=wishes, file=path))


def test_ranking_is_imported_with_its_tiers_and_pairs_and_annotator(wishes: Project) -> None:
    row = ranked(
        strength=2, comment="why", ratings={"0": {"help": 4}}, flags={"2": ["short"]}, duration_ms=900
    )
    report = take(wishes, row)
    assert (report.prompts, report.responses, report.tasks, report.rankings) == (1, 3, 1, 1)
    ranking = Ranking.objects.get()
    text = {str(response.pk): response.text for response in Response.objects.all()}
    assert [[text[id] for id in tier] for tier in ranking.tiers] == [["c"], ["a", "b"]]
    assert [text[str(id)] for id in ranking.shown_order] == ["a", "b", "c"]
    assert (ranking.annotator, ranking.annotator_label, ranking.source) == (None, "kim", "import")
    assert (ranking.strength, ranking.comment, ranking.duration_ms) == (2, "why", 900)
    assert {text[id]: value for id, value in ranking.ratings.items()} == {"a": {"help": 4}}
    assert {text[id]: value for id, value in ranking.flags.items()} == {"c": ["short"]}
    pairs = {
        (pair.preferred.text, pair.other.text, pair.is_tie, pair.strength)
        for pair in Comparison.objects.all()
    }
    assert pairs == {("c", "a", False, 2), ("c", "b", False, 2), ("a", "b", True, None)}
    assert RankingTask.objects.get().state == RankingTask.State.DONE


def test_answer_marked_not_rankable_is_imported_without_comparisons(wishes: Project) -> None:
    report = take(wishes, ranked(tiers=[], not_rankable=True))
    assert report.rankings == 1
    assert Ranking.objects.get().not_rankable
    assert not Comparison.objects.exists()


def test_identical_answers_by_two_annotators_are_stored_as_two_rankings(wishes: Project) -> None:
    report = take(wishes, ranked(annotator="kim"), ranked(annotator="lee"), ranked(annotator="kim"))
    assert (report.tasks, report.rankings, report.unchanged) == (1, 2, 1)


def test_only_the_new_ranking_of_a_known_task_is_added(wishes: Project) -> None:
    take(wishes, ranked())
    report = take(wishes, ranked(), ranked(annotator="lee"))
    assert (report.tasks, report.rankings, report.unchanged) == (0, 1, 1)


def test_ranking_with_reordered_responses_is_the_same_ranking(wishes: Project) -> None:
    take(wishes, ranked())
    turned = ranked(
        responses=["c", {"text": "b", "model": "m2"}, {"text": "a", "model": "m1"}], tiers=[[0], [1, 2]]
    )
    assert unchanged(take(wishes, turned))


def test_repeated_response_is_stored_once_at_its_best_rank(wishes: Project) -> None:
    report = take(wishes, {"prompt": "Q", "responses": ["a", "b", "a"], "tiers": [[2], [1], [0]]})
    assert (report.responses, report.rankings) == (2, 1)
    (quirk,) = report.quirks
    assert str(quirk) == f"1 × {REPEATED_RESPONSE.text} (line 1)"
    assert [(pair.preferred.text, pair.other.text) for pair in Comparison.objects.all()] == [("a", "b")]


def test_single_distinct_response_is_stored_without_a_task(wishes: Project) -> None:
    report = take(wishes, {"prompt": "Q", "responses": ["a", "a"]})
    assert (report.prompts, report.responses, report.tasks, report.failed) == (1, 1, 0, 0)
    assert [quirk.name for quirk in report.quirks] == [ONE_RESPONSE.name]


def test_invalid_lines_are_reported_and_valid_lines_are_stored(wishes: Project) -> None:
    report = take(
        wishes,
        ranked(1),
        b"{broken",
        ranked(2, prompt="nul\x00"),
        ranked(3, responses=["only one"], tiers=None),
        ranked(4),
        ranked(5, responses=["r"] * 11, tiers=None),
        json.dumps(ranked(6)).encode().replace(b"Question", b"\xff"),
        ranked(7),
    )
    assert [error.line for error in report.errors] == [2, 3, 4, 6, 7]
    assert (report.read, report.failed, report.rankings) == (8, 5, 3)
    assert all(error.reason for error in report.errors)
    assert Prompt.objects.count() == 3


def test_only_the_row_rejected_by_the_database_fails(
    wishes: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    to_draft = lines._draft

    def draft_with_a_nul(record: Any) -> Any:
        draft = to_draft(record)
        bad = record.messages[0]["content"] == "Question 2"
        return replace(draft, metadata={"note": "nul\x00"}) if bad else draft

    monkeypatch.setattr(lines, "_draft", draft_with_a_nul)
    report = take(wishes, ranked(1), ranked(2), ranked(3))
    assert [error.line for error in report.errors] == [2]
    assert "the database refused the row" in report.errors[0].reason
    assert (report.read, report.failed, report.rankings, report.tasks) == (3, 1, 2, 2)
    assert Ranking.objects.count() == 2


def test_file_of_an_unknown_format_adds_nothing_and_known_formats_are_listed(wishes: Project) -> None:
    with pytest.raises(Problem, match="not recognised") as refusal:
        take(wishes, {"foo": 1})
    assert "hh-rlhf" in refusal.value.detail
    assert refusal.value.errors[0].field == "file"
    assert not Prompt.objects.exists()


def test_missing_file_is_reported(wishes: Project, tmp_path: Path) -> None:
    with pytest.raises(Problem, match="can't be read: No such file"):
        import_file(project=wishes, file=tmp_path / "absent.jsonl")


def test_unknown_format_name_is_rejected_with_the_known_names(wishes: Project) -> None:
    with pytest.raises(Problem, match=r"There is no format 'tsv'; known formats: .*hh-rlhf"):
        take(wishes, ranked(), format="tsv")


def test_errors_beyond_the_limit_are_counted_but_not_listed(
    wishes: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report_module, "MAX_REPORTED_ERRORS", 2)
    report = take(wishes, ranked(), *[b"{"] * 5)
    assert (report.failed, len(report.errors)) == (5, 2)


def test_import_options_are_applied_and_gold_tiers_are_stored_as_response_ids(wishes: Project) -> None:
    row = {"prompt": "Q", "responses": ["a", "b"], "gold_tiers": [[1], [0]]}
    take(wishes, row, overlap=3, round=4, priority=7)
    task = RankingTask.objects.get()
    assert (task.overlap, task.open_slots, task.round, task.priority) == (3, 3, 4, 7)
    text = {str(response.pk): response.text for response in Response.objects.all()}
    assert [[text[id] for id in tier] for tier in task.gold_tiers] == [["b"], ["a"]]


@pytest.mark.parametrize("task_kind", [kind for kind in RankingTask.Kind.values if kind != "ranking"])
def test_check_with_a_ranking_stays_open_and_has_no_slots(wishes: Project, task_kind: str) -> None:
    check = {"prompt": "Q", "responses": ["a", "b"], "gold_tiers": [[1], [0]], "task_kind": task_kind}
    # A ranking in the file completes a ranking task, but not a check, because every annotator must answer the
    # check.
    report = take(wishes, check, {**check, "prompt": "Q2", "tiers": [[1], [0]]}, overlap=3)
    assert (report.tasks, report.rankings, report.failed) == (2, 1, 0)
    found = RankingTask.objects.values_list("kind", "state", "open_slots")
    assert list(found) == [(task_kind, "open", 0)] * 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gold_tiers": None}, "a gold task needs gold_tiers, its correct answer"),
        ({"gold_tiers": [[0, 1]]}, "put at least one response above the others"),
        (
            {"task_kind": "trap"},
            "task_kind is 'trap'; it must be one of ranking, gold, attention, qualification",
        ),
        ({"task_kind": ["gold"]}, "task_kind"),
        # Without the duplicate response, the first check still has an order; in the second check, all
        # responses are tied.
        ({"responses": ["a", "b", "b"], "gold_tiers": [[1], [0, 2]]}, ""),
        ({"responses": ["a", "b", "b"], "gold_tiers": [[0, 1], [2]]}, "put at least one response above"),
    ],
)
def test_only_the_check_that_cannot_be_scored_is_rejected(
    wishes: Project, changes: dict[str, Any], reason: str
) -> None:
    check = {"prompt": "Q", "responses": ["a", "b"], "gold_tiers": [[1], [0]], "task_kind": "gold"}
    report = take(wishes, {**check, **changes}, ranked())
    assert report.rankings == 1
    assert [error.line for error in report.errors] == ([1] if reason else [])
    assert all(reason in error.reason for error in report.errors)


def test_statement_count_does_not_grow_with_the_number_of_rows(
    wishes: Project, django_assert_max_num_queries: Any
) -> None:
    rows = [ranked(number) for number in range(500)]
    with django_assert_max_num_queries(40):
        report = take(wishes, *rows)
    assert report.rankings == 500


def test_same_content_is_stored_once_per_project(wishes: Project) -> None:
    take(wishes, ranked())
    assert take(create_project(slug="others"), ranked()).rankings == 1


def test_planner_statistics_are_refreshed_after_a_bulk_import(
    wishes: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "ANALYZE_AFTER_RANKINGS", 10)
    take(wishes, *[ranked(number) for number in range(20)])
    with connection.cursor() as cursor:
        cursor.execute("SELECT reltuples FROM pg_class WHERE relname = 'annotation_comparison'")
        assert cursor.fetchone()[0] >= 60
