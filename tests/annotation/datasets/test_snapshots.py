"""A snapshot is a file and a database row, created atomically. The file's bytes depend only on the
rankings."""

from __future__ import annotations

import io
import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from django.db import IntegrityError, transaction
from pytest_django import Settings

from annotation.accounts.users import create_user
from annotation.content.importing.imports import import_file
from annotation.datasets import rows as snapshot_rows
from annotation.datasets import snapshots
from annotation.datasets.snapshots import freeze_snapshot, snapshot_path
from annotation.models import DatasetSnapshot, Project, Ranking, RankingTask, User
from annotation.projects.projects import create_project
from config.problems import Conflict, Problem
from preferences.formats import snapshot_parquet
from preferences.formats.snapshot_parquet import SCHEMA, parquet_bytes, read_rankings
from storage.digests import sha256_of
from tests.annotation.real_data import hh_file, real_file

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def artefacts(settings: Settings, tmp_path: Path) -> Path:
    settings.ARTEFACTS = tmp_path / "artefacts"
    return tmp_path / "artefacts"


@pytest.fixture
def wishes() -> Project:
    return create_project(slug="wishes")


def put(project: Project, number: int, **changes: Any) -> Ranking:
    """Imports the ranking b > a = c of three responses to a new prompt."""
    row = {
        "prompt": f"Question {number}",
        "responses": [
            {"text": "a", "model": "m1"},
            {"text": "b", "model": "m2"},
            {"text": "c", "model": "m3"},
        ],
        "tiers": [[1], [0, 2]],
        "annotator": "kim",
        **changes,
    }
    options = {key: row.pop(key) for key in ("round",) if key in row}
    import_file(project=project, file=io.BytesIO(json.dumps(row).encode()), **options)
    return Ranking.objects.latest("id")


def rank(ranking: Ranking, user: User, *, supersedes: Ranking | None = None, **changes: Any) -> Ranking:
    """Creates a ranking by `user` with the same task and tiers as `ranking`."""
    fields = {
        "project": ranking.project,
        "task": ranking.task,
        "annotator": user,
        "source": Ranking.Source.BROWSER,
        "shown_order": ranking.shown_order,
        "tiers": ranking.tiers,
        "touched": True,
        "supersedes": supersedes,
    }
    return Ranking.objects.create(**{**fields, **changes})


def rows_of(snapshot: DatasetSnapshot) -> list[dict[str, Any]]:
    return list(read_rankings(snapshot_path(snapshot)))


def test_row_contains_every_part_of_the_ranking(wishes: Project) -> None:
    ranking = put(
        wishes,
        1,
        strength=2,
        ratings={"1": {"help": 4}},
        flags={"0": ["short"]},
        comment="why",
        duration_ms=900,
    )
    snapshot = freeze_snapshot(project=wishes, name="first")
    (row,) = rows_of(snapshot)
    first, second, third = map(str, ranking.shown_order)
    assert row == {
        "ranking_id": str(ranking.pk),
        "task_id": str(ranking.task_id),
        "prompt_id": str(ranking.task.prompt_id),
        "prompt_hash": ranking.task.prompt.content_hash,
        "split": ranking.task.prompt.split,
        "messages": [{"role": "user", "content": "Question 1"}],
        "responses": [
            {"id": first, "text": "a", "model": "m1", "sampling": "{}", "metadata": "{}"},
            {"id": second, "text": "b", "model": "m2", "sampling": "{}", "metadata": "{}"},
            {"id": third, "text": "c", "model": "m3", "sampling": "{}", "metadata": "{}"},
        ],
        "tiers": [[1], [0, 2]],
        "strength": 2,
        "annotator": row["annotator"],
        "source": "import",
        "round": 0,
        "not_rankable": False,
        "ratings": json.dumps({second: {"help": 4}}),
        "flags": json.dumps({first: ["short"]}),
        "comment": "why",
        "rewrite": None,
        "touched": True,
        "duration_ms": 900,
        "weight": 1.0,
        "created_at": ranking.created_at,
        "unranked": [],
        "all_bad": False,
        "confidence": None,
        "choices": "{}",
        "kind": "annotation",
        "task_kind": "ranking",
        "form_version": None,
        "given_at": None,
        "prompt_metadata": "{}",
        "task_metadata": "{}",
        "ranking_metadata": "{}",
        "votes": 1,
        "decided_by": "",
        "gold_tiers": None,
    }
    assert (snapshot.rows, snapshot.comparisons) == (1, 3)
    assert pq.read_schema(snapshot_path(snapshot)).equals(SCHEMA)


def test_identical_selections_produce_identical_bytes_and_checksums(wishes: Project) -> None:
    for number in range(30):
        put(wishes, number)
    one, two = (freeze_snapshot(project=wishes, name=name) for name in ("one", "two"))
    assert one.sha256 == two.sha256 == sha256_of(snapshot_path(one)) == sha256_of(snapshot_path(two))
    assert snapshot_path(one) != snapshot_path(two)
    put(wishes, 99)
    assert freeze_snapshot(project=wishes, name="three").sha256 != one.sha256


def test_rows_are_sorted_by_ranking_id_regardless_of_row_groups(
    wishes: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(25):
        put(wishes, number)
    whole = rows_of(freeze_snapshot(project=wishes, name="whole"))
    monkeypatch.setattr(snapshot_parquet, "GROUP_ROWS", 10)
    monkeypatch.setattr(snapshot_rows, "CHUNK_ROWS", 7)
    grouped = freeze_snapshot(project=wishes, name="grouped")
    assert pq.ParquetFile(snapshot_path(grouped)).num_row_groups == 3
    assert rows_of(grouped) == whole
    ids = [row["ranking_id"] for row in whole]
    assert ids == sorted(ids)
    assert len(ids) == 25
    assert b"".join(parquet_bytes(whole, SCHEMA)) == snapshot_path(grouped).read_bytes()


def test_only_current_rankings_are_frozen(wishes: Project) -> None:
    ben, _ = create_user(username="ben")
    given = put(wishes, 1)
    first = rank(given, ben)
    revision = rank(given, ben, supersedes=first, tiers=[[str(id)] for id in given.shown_order])
    rows = rows_of(freeze_snapshot(project=wishes, name="standing"))
    assert [row["ranking_id"] for row in rows] == [str(given.pk), str(revision.pk)]
    assert rows[1]["tiers"] == [[0], [1], [2]]


def test_annotators_have_stable_anonymous_pseudonyms(wishes: Project) -> None:
    ben, _ = create_user(username="ben")
    given = put(wishes, 1, annotator="kim")
    rank(given, ben)
    rank(put(wishes, 2, annotator="kim"), ben)
    put(wishes, 3, annotator=None)
    one, two = (freeze_snapshot(project=wishes, name=name) for name in ("one", "two"))
    names = [row["annotator"] for row in rows_of(one)]
    assert names == [row["annotator"] for row in rows_of(two)]
    kim, ben_1, kim_2, ben_2, nobody = names
    assert kim == kim_2 != ben_1 == ben_2
    assert nobody == ""
    raw = snapshot_path(one).read_bytes() + (snapshot_path(one).parent / "card.json").read_bytes()
    assert b"kim" not in raw
    assert str(ben.pk).encode() not in raw
    others = create_project(slug="others")
    put(others, 1, annotator="kim")
    (elsewhere,) = rows_of(freeze_snapshot(project=others, name="one"))
    assert elsewhere["annotator"] not in names


def test_card_and_readme_describe_the_contents_of_the_file(wishes: Project) -> None:
    put(wishes, 1, strength=1)
    put(wishes, 2, tiers=[], not_rankable=True, annotator="lee")
    put(wishes, 3, round=2)
    snapshot = freeze_snapshot(project=wishes, name="Sommer “24”")
    folder = snapshot_path(snapshot).parent
    card = json.loads((folder / "card.json").read_text())
    assert card == snapshot.card
    expected = {"rankings": 3, "prompts": 3, "annotators": 2, "comparisons": 6, "ties": 2, "not_rankable": 1}
    assert {key: card[key] for key in expected} == expected
    assert (card["with_strength"], card["rounds"]) == (1, {"0": 2, "2": 1})
    assert card["responses_by_model"] == {"m1": 3, "m2": 3, "m3": 3}
    assert card["sha256"] == snapshot.sha256
    readme = (folder / "README.md").read_text()
    assert readme.startswith("---\n")
    assert snapshot.sha256 in readme
    assert all(f"`{name}`" in readme for name in SCHEMA.names)


@pytest.mark.parametrize(
    ("selection", "numbers"),
    [
        ({}, {1, 2, 3}),
        ({"gold": "included"}, {1, 2, 3, 4}),
        ({"rounds": [2]}, {2}),
        ({"sources": ["browser"], "gold": "included"}, {4}),
        ({"kinds": ["annotation"]}, {1, 2, 3}),
        ({"kinds": ["review"]}, set()),
        ({"sources": ["import", "browser"]}, {1, 2, 3}),
        ({"annotators": ["lee"]}, {3}),
        ({"annotators": ["lee", "ben"], "gold": "included"}, {3, 4}),
        ({"models": ["m9"]}, {3}),
        ({"gold": "only"}, {4}),
        ({"gold": "included", "rounds": [0], "annotators": ["kim", "ben"]}, {1, 4}),
        ({"annotators": ["nobody"]}, set()),
    ],
)
def test_selection_contains_the_matching_rankings(
    wishes: Project, selection: dict[str, Any], numbers: set[int]
) -> None:
    ben, _ = create_user(username="ben")
    put(wishes, 1)
    put(wishes, 2, round=2)
    put(wishes, 3, annotator="lee", responses=["a", "b", {"text": "c", "model": "m9"}])
    gold = {"prompt": "Question 4", "responses": ["a", "b"], "gold_tiers": [[1], [0]]}
    import_file(project=wishes, file=io.BytesIO(json.dumps(gold).encode()))
    task = RankingTask.objects.latest("id")
    RankingTask.objects.filter(pk=task.pk).update(kind=RankingTask.Kind.GOLD, open_slots=0)
    shown = list(task.shown.order_by("position").values_list("response_id", flat=True))
    answer = {"shown_order": shown, "tiers": [[str(id)] for id in shown]}
    rank(Ranking(project=wishes, task=task), ben, **answer)
    if not numbers:
        with pytest.raises(Problem, match="no rankings"):
            freeze_snapshot(project=wishes, name="chosen", selection=selection)
        return
    snapshot = freeze_snapshot(project=wishes, name="chosen", selection=selection)
    found = {int(row["messages"][0]["content"].split()[-1]) for row in rows_of(snapshot)}
    assert found == numbers
    assert snapshot.selection == snapshot.card["selection"]
    assert (
        freeze_snapshot(project=wishes, name="again", selection=snapshot.selection).sha256 == snapshot.sha256
    )


def test_selection_by_date_includes_its_start_but_not_its_end(wishes: Project) -> None:
    ranking = put(wishes, 1)
    at = ranking.created_at.isoformat()
    later = (ranking.created_at + timedelta(microseconds=1)).isoformat()
    assert freeze_snapshot(project=wishes, name="from", selection={"after": at}).rows == 1
    assert freeze_snapshot(project=wishes, name="to", selection={"before": later}).rows == 1
    for selection in ({"after": later}, {"before": at}):
        with pytest.raises(Problem, match="no rankings"):
            freeze_snapshot(project=wishes, name="none", selection=selection)


@pytest.mark.parametrize(
    ("selection", "field"),
    [
        ({"colour": 1}, "selection.colour"),
        ({"rounds": 2}, "selection.rounds"),
        ({"rounds": [True]}, "selection.rounds"),
        ({"rounds": [2**40]}, "selection.rounds"),
        ({"sources": ["radio"]}, "selection.sources"),
        ({"annotators": []}, "selection.annotators"),
        ({"models": ["a\x00"]}, "selection.models"),
        ({"gold": 1}, "selection.gold"),
        ({"kinds": ["guess"]}, "selection.kinds"),
        ({"aggregation": "best"}, "selection.aggregation"),
        ({"min_agreement": 1.5}, "selection.min_agreement"),
        ({"min_agreement": True}, "selection.min_agreement"),
        ({"after": "yesterday"}, "selection.after"),
        ({"before": "2026-13-45T00:00:00Z"}, "selection.before"),
    ],
)
def test_invalid_condition_is_named_in_the_error(
    wishes: Project, selection: dict[str, Any], field: str
) -> None:
    with pytest.raises(Problem) as refusal:
        freeze_snapshot(project=wishes, name="chosen", selection=selection)
    assert [error.field for error in refusal.value.errors] == [field]


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", "nul\x00"])
def test_invalid_name_is_refused(wishes: Project, name: str) -> None:
    put(wishes, 1)
    with pytest.raises(Problem) as refusal:
        freeze_snapshot(project=wishes, name=name)
    assert refusal.value.errors[0].field == "name"


def test_name_cannot_be_used_twice(wishes: Project, artefacts: Path) -> None:
    put(wishes, 1)
    first = freeze_snapshot(project=wishes, name="v1")
    with pytest.raises(Conflict, match="snapshots never change"):
        freeze_snapshot(project=wishes, name="v1")
    assert [path.name for path in (artefacts / "snapshots" / "wishes").iterdir()] == [str(first.pk)]


def test_name_cannot_point_outside_the_folder(wishes: Project, artefacts: Path) -> None:
    put(wishes, 1)
    snapshot = freeze_snapshot(project=wishes, name="../../etc/passwd")
    assert snapshot_path(snapshot).is_relative_to(artefacts)


@pytest.mark.parametrize("broken", ["write_rankings", "readme", "rename", "create"])
def test_failed_freeze_leaves_neither_file_nor_row(
    wishes: Project, artefacts: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    put(wishes, 1)

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("the disk is full")

    with monkeypatch.context() as patched:
        if broken == "rename":
            patched.setattr(os, "rename", fail)
        elif broken == "create":
            patched.setattr(DatasetSnapshot.objects, "create", fail)
        else:
            patched.setattr(snapshots, broken, fail)
        with pytest.raises(RuntimeError, match="disk is full"):
            freeze_snapshot(project=wishes, name="v1")
    assert not DatasetSnapshot.objects.exists()
    assert list((artefacts / "snapshots" / "wishes").iterdir()) == []
    assert freeze_snapshot(project=wishes, name="v1").rows == 1


def test_next_freeze_removes_the_files_of_a_killed_freeze(wishes: Project, artefacts: Path) -> None:
    leftover = artefacts / "snapshots" / "wishes" / ".0199.partial-0a1b"
    leftover.mkdir(parents=True)
    (leftover / "rankings.parquet").write_bytes(b"half")
    put(wishes, 1)
    freeze_snapshot(project=wishes, name="v1")
    assert not leftover.exists()


def test_snapshot_row_cannot_be_changed(wishes: Project) -> None:
    put(wishes, 1)
    snapshot = freeze_snapshot(project=wishes, name="v1")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        DatasetSnapshot.objects.filter(pk=snapshot.pk).update(name="v2")
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        DatasetSnapshot.objects.filter(pk=snapshot.pk).delete()


def test_missing_file_is_reported(wishes: Project) -> None:
    put(wishes, 1)
    snapshot = freeze_snapshot(project=wishes, name="v1")
    snapshot_path(snapshot).unlink()
    with pytest.raises(Problem, match="is missing"):
        snapshot_path(snapshot)


def test_real_hh_comparisons_are_frozen_completely(wishes: Project) -> None:
    report = import_file(project=wishes, file=hh_file("helpful-base.train"))
    snapshot = freeze_snapshot(project=wishes, name="hh")
    assert snapshot.rows == snapshot.comparisons == report.rankings
    assert snapshot.card["ties"] == 0
    heldout = snapshot.card["splits"]["heldout"] / snapshot.rows
    assert 0.05 < heldout < 0.15


def test_query_count_does_not_grow_with_the_number_of_rows_in_a_chunk(
    wishes: Project, django_assert_max_num_queries: Any
) -> None:
    import_file(project=wishes, file=real_file("hh-rlhf/helpful-base.test.jsonl.gz"))
    with django_assert_max_num_queries(20):
        freeze_snapshot(project=wishes, name="hh")
