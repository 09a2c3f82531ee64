"""Qualification tasks are practice: annotators see the correct answer after they have answered.

Gold and attention checks must stay hidden. Feedback is therefore given only on answers in a qualification
attempt, and only while the task is still a qualification task.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from django.db.models import Avg, FloatField, Value
from django.db.models.functions import Coalesce

from annotation.desk.checks import DONE_IN_ATTEMPT
from annotation.models import Assignment, Membership, Project, Ranking, RankingTask
from preferences.scoring import gold_points


class Said(StrEnum):
    RIGHT = "right"
    TIED = "tied"
    WRONG = "wrong"


_SAID = {1.0: Said.RIGHT, 0.5: Said.TIED, 0.0: Said.WRONG}


@dataclass(frozen=True)
class Pair:
    """A pair of responses in the order of the correct answer, and the annotator's choice."""

    better: str
    worse: str
    said: Said


@dataclass(frozen=True)
class Feedback:
    """`passed` and `attempt_score` are None until the attempt ends. `attempts_left` is the number of attempts
    left after a failed attempt, and otherwise None."""

    score: float
    tiers: list[list[str]]
    right_tiers: list[list[str]]
    pairs: list[Pair]
    passed: bool | None
    attempt_score: float | None
    pass_mark: float | None
    attempts_left: int | None


def feedback_on(*, assignment: Assignment) -> Feedback | None:
    """The result of an answer to a qualification task. None for other assignments."""
    task = assignment.task
    if (
        not assignment.is_practice
        or assignment.state != Assignment.State.SUBMITTED
        or task.kind != RankingTask.Kind.QUALIFICATION
        or assignment.score is None
    ):
        return None
    tiers = Ranking.objects.current().values_list("tiers", flat=True).get(assignment=assignment)
    right = task.gold_tiers or []
    member = Membership.objects.filter(project=assignment.project_id, user=assignment.annotator_id).first()
    passed = _passed(assignment, member)
    return Feedback(
        score=assignment.score,
        tiers=tiers,
        right_tiers=right,
        pairs=[Pair(*pair, _SAID[points]) for pair, points in gold_points(right, tiers).items()],
        passed=passed,
        attempt_score=None if passed is None else _attempt_score(assignment),
        pass_mark=None if passed is None else assignment.project.qualification_pass_mark,
        attempts_left=_attempts_left(assignment.project, member) if passed is False else None,
    )


def _passed(assignment: Assignment, member: Membership | None) -> bool | None:
    """Whether the annotator passed the qualification attempt that contains this answer. None if the attempt
    has not ended or qualification is no longer required."""
    if member is None:
        return None
    if member.qualification_attempt > assignment.attempt:
        return False
    return True if member.qualified_at is not None else None


def _attempts_left(project: Project, member: Membership | None) -> int | None:
    if member is None:
        return None
    allowed = project.qualification_attempts + member.extra_attempts
    return max(0, 1 + allowed - member.qualification_attempt)


def _attempt_score(assignment: Assignment) -> float | None:
    """The attempt's mean score, computed as in `desk.checks`: a permanently skipped task is scored as an
    incorrect answer."""
    done = Assignment.objects.filter(
        DONE_IN_ATTEMPT,
        project=assignment.project_id,
        annotator=assignment.annotator_id,
        attempt=assignment.attempt,
    )
    nothing = Value(0.0, output_field=FloatField())
    mean: float | None = done.aggregate(mean=Avg(Coalesce("score", nothing)))["mean"]
    return mean
