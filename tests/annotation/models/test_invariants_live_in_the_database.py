"""The database rejects invalid rows, even from raw SQL and bulk calls that bypass the services."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.utils import timezone

from annotation.desk.submission import submit_ranking
from annotation.models import (
    Assignment,
    Comparison,
    DatasetSnapshot,
    Exclusion,
    Project,
    Ranking,
    RankingTask,
    User,
)
from tests.annotation.answering import claim, strict_order


@pytest.fixture
def ranking(project: Project, tasks: list[RankingTask], alice: User) -> Ranking:
    assignment = claim(project, alice)
    answer = strict_order(assignment.shown_order)
    return submit_ranking(assignment=assignment, token=assignment.token, answer=answer)[0]


@pytest.fixture
def snapshot(project: Project) -> DatasetSnapshot:
    return DatasetSnapshot.objects.create(
        project=project, name="one", sha256="0" * 64, path="p", rows=0, comparisons=0
    )


@pytest.mark.parametrize("model", [Ranking, Comparison, DatasetSnapshot])
@pytest.mark.parametrize("change", ["UPDATE {} SET project_id = project_id", "DELETE FROM {}"])
def test_append_only_rows_cannot_be_changed_or_deleted(
    ranking: Ranking, snapshot: DatasetSnapshot, model: type[Model], change: str
) -> None:
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(change.format(model._meta.db_table))


def _assign(task: RankingTask, person: User, state: str = "leased") -> Assignment:
    return Assignment.objects.create(
        task=task,
        project_id=task.project_id,
        annotator=person,
        state=state,
        shown_order=list(task.responses.values_list("pk", flat=True)),
        expires_at=timezone.now() + timedelta(minutes=15),
    )


def test_task_has_no_assignment_beyond_its_overlap(tasks: list[RankingTask], alice: User, ben: User) -> None:
    _assign(tasks[0], alice)
    with pytest.raises(IntegrityError, match=r"never_over_overlap|open_slots"), transaction.atomic():
        _assign(tasks[0], ben)


def test_annotator_gets_a_task_only_once(tasks: list[RankingTask], alice: User) -> None:
    _assign(tasks[0], alice, state="skipped")
    with pytest.raises(IntegrityError, match="task_once_per_annotator"), transaction.atomic():
        _assign(tasks[0], alice)


def test_annotator_has_at_most_one_open_lease_per_place(tasks: list[RankingTask], alice: User) -> None:
    _assign(tasks[0], alice)
    with pytest.raises(IntegrityError, match="one_open_lease"), transaction.atomic():
        _assign(tasks[1], alice)


def test_assignment_cannot_move_to_another_task(tasks: list[RankingTask], alice: User) -> None:
    assignment = _assign(tasks[0], alice)
    with pytest.raises(IntegrityError, match="stays with its task"), transaction.atomic():
        Assignment.objects.filter(pk=assignment.pk).update(task=tasks[1])


def test_assignment_must_belong_to_the_project_of_its_task(
    tasks: list[RankingTask], alice: User, project: Project
) -> None:
    elsewhere = Project.objects.create(slug="elsewhere", name="Elsewhere")
    with pytest.raises(IntegrityError, match="not in its project"), transaction.atomic():
        Assignment.objects.create(
            task=tasks[0], project=elsewhere, annotator=alice, shown_order=[], expires_at=timezone.now()
        )


@pytest.mark.parametrize(
    ("state", "slots", "answered", "task_state"),
    [
        ("leased", 0, 0, "open"),
        ("submitted", 0, 1, "done"),
        ("skipped", 1, 0, "open"),
        ("expired", 1, 0, "open"),
        ("released", 1, 0, "open"),
    ],
)
def test_slots_match_assignment_states_after_bulk_updates(
    tasks: list[RankingTask], alice: User, state: str, slots: int, answered: int, task_state: str
) -> None:
    _assign(tasks[0], alice)
    Assignment.objects.all().update(state=state)
    tasks[0].refresh_from_db()
    assert (tasks[0].open_slots, tasks[0].answered, tasks[0].state) == (slots, answered, task_state)


def test_deleted_assignment_frees_its_slot(tasks: list[RankingTask], alice: User) -> None:
    _assign(tasks[0], alice).delete()
    tasks[0].refresh_from_db()
    assert tasks[0].open_slots == 1


def _copy(ranking: Ranking, **changes: object) -> Ranking:
    fields = {
        field.attname: getattr(ranking, field.attname)
        for field in Ranking._meta.concrete_fields
        if field.attname not in {"id", "created_at"}
    }
    return Ranking(**fields | changes)


def test_ranking_must_show_exactly_the_responses_of_its_task(ranking: Ranking) -> None:
    shown: list[UUID] = ranking.shown_order
    for order in (shown[:2], [*shown[:2], uuid4()], [shown[0], *shown[:2]], [*shown, uuid4()]):
        with pytest.raises(IntegrityError, match="does not fit"), transaction.atomic():
            _copy(ranking, supersedes_id=ranking.pk, shown_order=order).save(force_insert=True)


def test_ranking_must_match_its_assignment_and_the_project_of_its_task(ranking: Ranking, ben: User) -> None:
    elsewhere = Project.objects.create(slug="elsewhere", name="Elsewhere")
    for changes in ({"annotator_id": ben.pk}, {"project_id": elsewhere.pk}):
        with pytest.raises(IntegrityError, match="does not fit"), transaction.atomic():
            _copy(ranking, supersedes_id=ranking.pk, **changes).save(force_insert=True)


def test_assignment_has_one_first_ranking_and_no_branching_revisions(ranking: Ranking) -> None:
    with pytest.raises(IntegrityError, match="one_first_ranking"), transaction.atomic():
        _copy(ranking).save(force_insert=True)
    _copy(ranking, supersedes_id=ranking.pk).save(force_insert=True)
    with pytest.raises(IntegrityError, match="supersedes"), transaction.atomic():
        _copy(ranking, supersedes_id=ranking.pk).save(force_insert=True)


def test_ranking_has_tiers_unless_it_is_marked_not_rankable(ranking: Ranking) -> None:
    for changes in ({"not_rankable": True}, {"tiers": []}):
        with pytest.raises(IntegrityError, match="has_tiers_or"), transaction.atomic():
            _copy(ranking, supersedes_id=ranking.pk, **changes).save(force_insert=True)


def test_comparison_must_name_two_responses_of_its_task(ranking: Ranking, tasks: list[RankingTask]) -> None:
    foreign = tasks[3].responses.first()
    assert foreign is not None
    first, second = ranking.shown_order[:2]
    bare = _copy(ranking, supersedes_id=ranking.pk, tiers=[], not_rankable=True)
    bare.save(force_insert=True)
    common = {"ranking": bare, "project_id": ranking.project_id, "prompt_id": ranking.task.prompt_id}
    with pytest.raises(IntegrityError, match="not of two responses"), transaction.atomic():
        Comparison.objects.create(**common, preferred_id=first, other_id=foreign.pk)
    with pytest.raises(IntegrityError, match="not of two responses"), transaction.atomic():
        Comparison.objects.create(
            **common | {"prompt_id": tasks[3].prompt_id}, preferred_id=first, other_id=second
        )
    with pytest.raises(IntegrityError, match="pair_is_of_two"), transaction.atomic():
        Comparison.objects.create(**common, preferred_id=first, other_id=first)


def test_pair_is_stored_once_regardless_of_direction(ranking: Ranking) -> None:
    pair = Comparison.objects.filter(ranking=ranking).first()
    assert pair is not None
    with pytest.raises(IntegrityError, match="pair_once"), transaction.atomic():
        Comparison.objects.create(
            ranking=ranking,
            project_id=pair.project_id,
            prompt_id=pair.prompt_id,
            preferred_id=pair.other_id,
            other_id=pair.preferred_id,
        )


def test_exclusion_is_unique_and_names_an_account_or_a_label(project: Project, alice: User) -> None:
    for who in ({"annotator": alice}, {"annotator_label": "rater 7"}):
        Exclusion.objects.create(project=project, reason="straight-lining", **who)
        with pytest.raises(IntegrityError, match="excluded_once"), transaction.atomic():
            Exclusion.objects.create(project=project, reason="again", **who)
        Exclusion.objects.filter(**who).update(lifted_at=timezone.now())
        Exclusion.objects.create(project=project, reason="after it was lifted", **who)
    for wrong in ({}, {"annotator": alice, "annotator_label": "rater 7"}):
        with pytest.raises(IntegrityError, match="account_or_a_label"), transaction.atomic():
            Exclusion.objects.create(project=project, reason="whose?", **wrong)


def test_excluded_annotator_gets_no_lease(project: Project, tasks: list[RankingTask], alice: User) -> None:
    released = _assign(tasks[0], alice, state="released")
    Exclusion.objects.create(project=project, annotator=alice, reason="straight-lining")
    for state in ("leased", "reviewing"):
        with pytest.raises(IntegrityError, match="is excluded"), transaction.atomic():
            _assign(tasks[1], alice, state=state)
        with pytest.raises(IntegrityError, match="is excluded"), transaction.atomic():
            Assignment.objects.filter(pk=released.pk).update(state=state)


def test_excluded_answer_frees_its_slot_until_it_counts_again(ranking: Ranking) -> None:
    for state, (slots, answered, task_state, overlap) in (
        ("excluded", (1, 0, "open", 1)),
        ("submitted", (0, 1, "done", 1)),
    ):
        Assignment.objects.filter(pk=ranking.assignment_id).update(state=state)
        task = RankingTask.objects.get(pk=ranking.task_id)
        assert (task.open_slots, task.answered, task.state, task.overlap) == (
            slots,
            answered,
            task_state,
            overlap,
        )


def test_overlap_grows_if_the_freed_slot_has_been_taken(ranking: Ranking, ben: User) -> None:
    Assignment.objects.filter(pk=ranking.assignment_id).update(state="excluded")
    _assign(ranking.task, ben)
    Assignment.objects.filter(pk=ranking.assignment_id).update(state="submitted")
    task = RankingTask.objects.get(pk=ranking.task_id)
    assert (task.overlap, task.open_slots, task.answered, task.state) == (2, 0, 1, "open")


def test_review_requires_an_assignment_held_for_review(ranking: Ranking, rita: User, mona: User) -> None:
    with pytest.raises(IntegrityError, match="review_is_a_reviewers"), transaction.atomic():
        _copy(ranking, kind="review", assignment_id=None).save(force_insert=True)
    with pytest.raises(IntegrityError, match="does not fit"), transaction.atomic():
        _copy(ranking, kind="review", supersedes_id=ranking.pk).save(force_insert=True)
    held = _assign(ranking.task, rita, state="reviewing")
    with pytest.raises(IntegrityError, match="does not fit"), transaction.atomic():
        _copy(ranking, assignment_id=held.pk, annotator_id=rita.pk).save(force_insert=True)
    with pytest.raises(IntegrityError, match="one_reviewer_at_a_time"), transaction.atomic():
        _assign(ranking.task, mona, state="reviewing")
    mine = {"assignment_id": held.pk, "annotator_id": rita.pk, "kind": "review"}
    first = _copy(ranking, **mine)
    first.save(force_insert=True)
    Assignment.objects.filter(pk=held.pk).update(state="reviewed")
    other = _assign(ranking.task, mona, state="reviewing")
    theirs = {"assignment_id": other.pk, "annotator_id": mona.pk, "kind": "review"}
    with pytest.raises(IntegrityError, match="one_first_review_per_task"), transaction.atomic():
        _copy(ranking, **theirs).save(force_insert=True)
    with pytest.raises(IntegrityError, match="does not fit"), transaction.atomic():
        _copy(ranking, **theirs, supersedes_id=ranking.pk).save(force_insert=True)
    _copy(ranking, **theirs, supersedes_id=first.pk).save(force_insert=True)


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("annotation_response", "text = text || '.'"),
        ("annotation_prompt", "messages = '[]'"),
        ("annotation_taskresponse", "position = 9 - position"),
        ("annotation_assignment", "shown_order = '{}'"),
    ],
)
def test_shown_content_cannot_be_rewritten(ranking: Ranking, table: str, change: str) -> None:
    with (
        pytest.raises(IntegrityError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(f"UPDATE {table} SET {change}")
