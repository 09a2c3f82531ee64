"""Checks are tasks with a known answer. Annotators get gold and attention checks during annotation, and
qualification checks before annotation.

Answers to checks are scored when they are submitted. Code that records an answer to a check, or the skip of a
check, must hold the annotator's desk lock (`Lock.DESK`). If two tabs submit the last two answers of a
qualification attempt simultaneously, the lock ensures that the attempt is judged once, with both answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Avg, Count, Exists, FloatField, OuterRef, Q, Value
from django.db.models.functions import Coalesce, Now

from annotation.desk import membership
from annotation.models import Assignment, Membership, Project, Ranking, RankingTask
from annotation.models.project import Role, SkipWay
from annotation.models.task import RankingTaskQuerySet
from config.problems import Conflict, FieldProblem, Problem
from preferences.scoring import gold_score

# The kinds that count towards an annotator's accuracy. Qualification has its own pass mark.
JUDGED = (RankingTask.Kind.GOLD, RankingTask.Kind.ATTENTION)
DONE_IN_ATTEMPT = Q(state=Assignment.State.SUBMITTED) | Q(
    state=Assignment.State.SKIPPED, skip_way__in=(SkipWay.OTHERS, SkipWay.DROP)
)


def note_answer(*, assignment: Assignment, task: RankingTask, tiers: Sequence[Sequence[UUID]]) -> None:
    """Scores an answer to a check. The score can end a qualification attempt or pause the annotator. Runs in
    the answer's transaction."""
    score = score_of(task, tiers)
    Assignment.objects.filter(pk=assignment.pk).update(score=score, scored_at=Now())
    _judge(assignment, task)


def note_skip(*, assignment: Assignment, way: str) -> None:
    """Ends the qualification attempt if no task of the attempt is left. A permanently skipped
    qualification task is scored as an incorrect answer. Skips of other checks are not scored."""
    if way != SkipWay.ME and assignment.task.kind == RankingTask.Kind.QUALIFICATION:
        judge_attempt(project=assignment.project, annotator_id=assignment.annotator_id)


def score_of(task: RankingTask, tiers: Sequence[Sequence[Any]]) -> float:
    answer = [[str(response) for response in tier] for tier in tiers]
    return gold_score(task.gold_tiers or [], answer)


def asks_to_qualify(*, project: Project) -> bool:
    """Whether the project has a qualification task."""
    return _qualification(project).exists()


def judge_attempt(*, project: Project, annotator_id: UUID) -> bool:
    """Ends the annotator's qualification attempt if none of its tasks is left. At the end of an attempt, the
    annotator either qualifies or moves to the next attempt. Returns whether the attempt ended."""
    member = Membership.objects.filter(
        project=project, user=annotator_id, role=Role.ANNOTATOR, qualified_at=None
    ).first()
    if member is None or project.qualification_pass_mark is None:
        return False
    mine = Assignment.objects.filter(
        project=project, annotator=annotator_id, attempt=member.qualification_attempt
    )
    done = mine.filter(DONE_IN_ATTEMPT)
    nothing = Value(0.0, output_field=FloatField())
    result = done.aggregate(n=Count("pk"), mean=Avg(Coalesce("score", nothing)))
    if not result["n"]:
        return False
    left = _qualification(project).exclude(Exists(done.filter(task=OuterRef("pk"))))
    whole = project.qualification_tasks is not None and result["n"] >= project.qualification_tasks
    if not whole and left.exists():
        return False
    this = Membership.objects.filter(pk=member.pk, qualification_attempt=member.qualification_attempt)
    if result["mean"] >= project.qualification_pass_mark:
        return this.filter(qualified_at=None).update(qualified_at=Now()) == 1
    return this.update(qualification_attempt=member.qualification_attempt + 1) == 1


def accuracy_of(*, member: Membership) -> tuple[int, float | None]:
    """The number of gold and attention checks that the member has answered since their last pause ended, and
    the mean score."""
    scored = Assignment.objects.filter(
        project=member.project_id,
        annotator=member.user_id,
        score__isnull=False,
        state=Assignment.State.SUBMITTED,
        task__kind__in=JUDGED,
    )
    if member.judged_since is not None:
        scored = scored.filter(scored_at__gt=member.judged_since)
    result = scored.aggregate(n=Count("pk"), mean=Avg("score"))
    return result["n"], result["mean"]


def _judge(assignment: Assignment, task: RankingTask) -> None:
    project = assignment.project
    if task.kind == RankingTask.Kind.QUALIFICATION:
        judge_attempt(project=project, annotator_id=assignment.annotator_id)
        return
    least = project.gold_minimum_accuracy
    # Managers and reviewers are not paused after wrong answers to checks, because a pause would lock them out
    # of their own project.
    people = Membership.objects.filter(project=project, role=Role.ANNOTATOR)
    member = people.filter(user=assignment.annotator_id).first()
    if least is None or member is None:
        return
    answered, mean = accuracy_of(member=member)
    if answered >= project.gold_minimum_answers and mean is not None and mean < least:
        membership.pause(
            member=member,
            reason=f"{mean:.0%} of your answers to {answered} tasks with a known answer were correct;"
            f" this project requires {least:.0%}.",
        )


@transaction.atomic
def set_kind(
    *, task: RankingTask, kind: str, gold_tiers: Sequence[Sequence[Any]] | None = None
) -> RankingTask:
    """Turns any task into a check, or a check into a ranking task, and scores the task's existing answers.

    A check needs `gold_tiers`: each of the task's responses once, in at least two tiers. Without
    `gold_tiers`, the task keeps its current tiers. Raises Problem if the tiers of a check are missing or
    invalid. Raises Conflict if a reserved task would become a check. Also raises Conflict if a check
    would become a ranking task and somebody has answered it in several qualification attempts.
    """
    # Locks the leases first and then their task, as a submission does. Locking in another order could
    # deadlock.
    list(Assignment.objects.leased().filter(task=task).order_by("pk").select_for_update(no_key=True))
    task = RankingTask.objects.select_for_update(no_key=True).get(pk=task.pk)
    gold = task.gold_tiers if gold_tiers is None else [[str(item) for item in tier] for tier in gold_tiers]
    if gold_tiers is not None or RankingTask.Kind(kind).is_check:
        _refuse_bad_gold(task, gold)
    was_check = task.is_check
    task.kind, task.gold_tiers = kind, gold
    if task.is_check:
        if task.reserved:
            raise Conflict("The task is reserved. End the reservations first.", type="task-reserved")
        task.open_slots, task.state = 0, RankingTask.State.OPEN
    elif was_check:
        _refuse_answered_twice(task)
        # All of the task's leases end, because a check can have more leases than a ranking task has slots.
        Assignment.objects.leased().filter(task=task).update(state=Assignment.State.RELEASED)
        task.answered = Assignment.objects.filter(task=task, state=Assignment.State.SUBMITTED).count()
        task.open_slots = max(0, task.overlap - task.answered)
        task.state = RankingTask.State.OPEN if task.open_slots else RankingTask.State.DONE
    task.save(update_fields=["kind", "gold_tiers", "open_slots", "answered", "state"])
    _score_again(task)
    return task


def _refuse_answered_twice(task: RankingTask) -> None:
    """Raises Conflict if an annotator has answered the check twice. If the check became a ranking task, both
    answers would count."""
    answered = Assignment.objects.filter(task=task, state=Assignment.State.SUBMITTED)
    if answered.values("annotator").annotate(n=Count("pk")).filter(n__gt=1).exists():
        raise Conflict(
            "Somebody answered this task in more than one qualification attempt, so the task must stay a"
            " check.",
            type="answered-twice",
        )


def _refuse_bad_gold(task: RankingTask, gold: Sequence[Sequence[str]] | None) -> None:
    if gold is None:
        reason = "A check needs the correct answer: the task's responses in tiers, best first."
    else:
        shown = {str(pk) for pk in task.responses.values_list("pk", flat=True)}
        named = [item for tier in gold for item in tier]
        if unknown := sorted(set(named) - shown):
            reason = f"These are not responses of this task: {', '.join(unknown)}."
        elif len(named) != len(shown) or not all(gold):
            reason = "Name each response of the task once, and leave no tier empty."
        elif len(gold) < 2:
            reason = "One tier is not enough: put at least one response above the others."
        else:
            return
    raise Problem("The correct answer can't be used.", errors=[FieldProblem("gold_tiers", reason)])


def _score_again(task: RankingTask) -> None:
    """Updates the scores after the task's kind or correct answer has changed. Annotators are judged again at
    their next answer to a check."""
    rows = list(Assignment.objects.filter(task=task, state=Assignment.State.SUBMITTED))
    if not task.is_check:
        Assignment.objects.filter(task=task, score__isnull=False).update(score=None, scored_at=None)
        return
    standing = Ranking.objects.current().filter(assignment__in=rows)
    said = dict(standing.values_list("assignment", "tiers"))
    for row in rows:
        if row.pk in said:
            row.score = score_of(task, said[row.pk])
    Assignment.objects.bulk_update(rows, ["score"], batch_size=1000)
    Assignment.objects.filter(task=task, score__isnull=False, scored_at=None).update(scored_at=Now())


def _qualification(project: Project) -> RankingTaskQuerySet:
    return RankingTask.objects.open().filter(project=project, kind=RankingTask.Kind.QUALIFICATION)
