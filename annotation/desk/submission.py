"""Drafts, submitted answers and revisions. A stored answer is never lost or overwritten."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q
from django.db.models.functions import Now
from psycopg.errors import UniqueViolation

from annotation.api.refusals import AnnotatorPaused, LeaseLost, ProjectArchived
from annotation.database.sql import Lock, acquire
from annotation.desk import checks
from annotation.desk.answers import Answer, problems_of
from annotation.desk.comparisons import RankedTask, insert_comparisons
from annotation.forms.versions import form_of
from annotation.models import Assignment, Project, Ranking
from config.problems import Conflict, FieldProblem, Problem

MAX_DRAFT_CHARACTERS = 300_000


class AlreadyAnswered(Conflict):
    type = "already-answered"


class StaleDraft(Conflict):
    type = "stale-draft"


class KeyUsedBefore(Problem):
    """Raised if the idempotency key was already used with a different answer. This is a client error."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    type = "idempotency-key-reused"


def save_draft(*, assignment: Assignment, token: UUID, version: int, draft: dict[str, Any]) -> int:
    """Saves unfinished work that is based on draft `version`. Returns the new version.

    Raises StaleDraft if another tab has saved a newer draft, and LeaseLost if the lease is no longer held.
    """
    if len(json.dumps(draft)) > MAX_DRAFT_CHARACTERS:
        reason = f"A draft has at most {MAX_DRAFT_CHARACTERS} characters."
        raise Problem("The draft is too large.", errors=[FieldProblem("draft", reason)])
    held = Assignment.objects.held_with(token).filter(pk=assignment.pk)
    if held.filter(draft_version=version).update(draft=draft, draft_version=version + 1) == 1:
        return version + 1
    if held.exists():
        raise StaleDraft(
            "A newer draft was saved in another tab or on another device. Load the newer draft before"
            " you continue."
        )
    raise LeaseLost("This lease has expired or was released. Request the next task.")


def submit_ranking(
    *,
    assignment: Assignment,
    token: UUID,
    answer: Answer,
    idempotency_key: str = "",
    source: str = Ranking.Source.API,
    paused: str | None = None,
) -> tuple[Ranking, bool]:
    """Stores the answer and its comparisons, in the transaction that ends the lease. Returns the ranking and
    whether it is new. If the same answer was stored earlier with the same key, returns the earlier ranking.

    `paused` is the reason why the annotator is paused; None if they are not paused. Raises Problem with a
    reason for each invalid field. Raises AlreadyAnswered if the task already has an answer. Raises
    KeyUsedBefore if the idempotency key was used with a different answer. Before it raises LeaseLost or
    AnnotatorPaused, saves the answer as the draft, unless another tab has a newer draft.
    """
    if paused is not None and not _is_repeated(assignment, answer, idempotency_key):
        _keep_as_draft(assignment, answer)
        raise AnnotatorPaused(paused)
    _refuse_what_does_not_fit(answer, assignment)
    task = assignment.task
    with transaction.atomic():
        if task.is_check:
            acquire(Lock.DESK.of(assignment.project_id, assignment.annotator_id))
        # Only the request that changes the assignment from `leased` to `submitted` writes the ranking. A
        # second request waits here and updates 0 rows.
        taken = (
            Assignment.objects.held_with(token)
            .filter(_takes_answers(), pk=assignment.pk)
            .update(
                state=Assignment.State.SUBMITTED,
                idempotency_key=idempotency_key,
                answer_digest=answer.digest(),
                draft=None,
                draft_version=F("draft_version") + 1,
            )
        )
        if taken == 1:
            ranking = store_ranking(assignment, answer, source)
            if task.is_check:
                checks.note_answer(assignment=assignment, task=task, tiers=answer.tiers)
            return ranking, True
    return _answered_before(assignment, answer, idempotency_key), False


def revise_ranking(
    *, assignment: Assignment, answer: Answer, source: str = Ranking.Source.API
) -> tuple[Ranking, bool]:
    """Writes a ranking that supersedes the assignment's current ranking. Returns the ranking and whether it
    is new. If nothing has changed, returns the current ranking.

    Raises Conflict if the assignment is not submitted. Also raises Conflict if the task is a qualification
    task, because the annotator was already shown the correct answer. Raises ProjectArchived.
    """
    refuse_archived(assignment.project)
    if assignment.is_practice:
        raise Conflict(
            "Answers to qualification tasks can't be revised, because the correct answer has been shown.",
            type="qualification-answered",
        )
    _refuse_what_does_not_fit(answer, assignment)
    try:
        with transaction.atomic():
            current = Ranking.objects.current().filter(assignment=assignment).first()
            if current is None:
                raise Conflict("There is no answer to revise. Submit an answer first.", type="not-answered")
            if answer.says_the_same_as(vars(current)):
                return current, False
            task = assignment.task
            if task.is_check:
                acquire(Lock.DESK.of(assignment.project_id, assignment.annotator_id))
            ranking = store_ranking(assignment, answer, source, supersedes=current)
            if task.is_check:
                checks.note_answer(assignment=assignment, task=task, tiers=answer.tiers)
            return ranking, True
    except IntegrityError as error:
        if not isinstance(error.__cause__, UniqueViolation):
            raise
        # A ranking can be superseded only once, and a revision from another tab came first.
        raise Conflict(
            "Another revision was saved first. Load that revision before you revise again.", type="stale"
        ) from None


def refuse_archived(project: Project) -> None:
    if project.state == Project.State.ARCHIVED:
        raise ProjectArchived(project.slug)


def _takes_answers() -> Exists:
    """Matches assignments whose project is not archived. A project can be archived after the claim
    and before the answer. The check is a condition rather than a join, because Postgres evaluates a condition
    again once the row is locked."""
    return Exists(Project.objects.exclude(state=Project.State.ARCHIVED).filter(pk=OuterRef("project")))


def _refuse_what_does_not_fit(answer: Answer, assignment: Assignment) -> None:
    """Validates the answer against the form that was shown, because the project's form may have changed
    since."""
    form = form_of(assignment.form_version)
    if errors := problems_of(answer, form=form, shown=assignment.shown_order):
        raise Problem("The answer doesn't fit the task that was shown.", errors=errors)


def store_ranking(
    assignment: Assignment,
    answer: Answer,
    source: str,
    supersedes: Ranking | None = None,
    kind: str = Ranking.Kind.ANNOTATION,
) -> Ranking:
    """Writes the ranking and its comparisons in the caller's transaction."""
    ranking = Ranking.objects.create(
        project_id=assignment.project_id,
        task_id=assignment.task_id,
        assignment=assignment,
        annotator_id=assignment.annotator_id,
        source=source,
        kind=kind,
        shown_order=assignment.shown_order,
        form_version_id=assignment.form_version_id,
        supersedes=supersedes,
        **answer.to_json(),
    )
    pairs = RankedTask(
        ranking_id=ranking.pk,
        project_id=assignment.project_id,
        prompt_id=assignment.task.prompt_id,
        shown=assignment.shown_order,
        tiers=answer.tiers,
        strength=answer.strength,
    )
    insert_comparisons([pairs])
    return ranking


def _answered_before(assignment: Assignment, answer: Answer, idempotency_key: str) -> Ranking:
    """The ranking written when the same request was first accepted. If no such ranking exists, raises
    an error that explains why the answer is not accepted."""
    now = Assignment.objects.get(pk=assignment.pk)
    if now.state != Assignment.State.SUBMITTED:
        kept = _keep_as_draft(assignment, answer)
        raise LeaseLost(
            "This lease is no longer held, so the answer was not accepted. "
            + (
                "The answer was saved as a draft."
                if kept
                else "The answer was not saved, because there is a newer draft."
            )
        )
    if not idempotency_key or now.idempotency_key != idempotency_key:
        raise AlreadyAnswered("This task has already been answered. Revise the answer instead.")
    if now.answer_digest != answer.digest():
        raise KeyUsedBefore(
            "This Idempotency-Key was used before with another answer.",
            errors=[FieldProblem("Idempotency-Key", "Use a new key for each answer.")],
        )
    return Ranking.objects.get(assignment=assignment, supersedes=None)


def _is_repeated(assignment: Assignment, answer: Answer, idempotency_key: str) -> bool:
    """Whether the same request was accepted before. A paused annotator's retry must still succeed, because
    the answer itself can be the reason for the pause."""
    same = {"idempotency_key": idempotency_key, "answer_digest": answer.digest()}
    taken = Assignment.objects.filter(pk=assignment.pk, state=Assignment.State.SUBMITTED, **same)
    return idempotency_key != "" and taken.exists()


def _keep_as_draft(assignment: Assignment, answer: Answer) -> bool:
    """Saves an answer that can't be accepted, so that the annotator finds it when they get the task again.
    Returns whether the answer was saved. The answer is not saved if another tab now holds the task and has
    its own draft."""
    nobody_at_work = ~Q(state=Assignment.State.LEASED) | Q(expires_at__lte=Now()) | Q(draft__isnull=True)
    rows = Assignment.objects.filter(nobody_at_work, pk=assignment.pk).exclude(
        state=Assignment.State.SUBMITTED
    )
    return rows.update(draft=answer.to_json(), draft_version=F("draft_version") + 1) == 1
