"""The annotator's view of their own work in a project: amount, pace, and the last answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from annotation.desk import reads
from annotation.desk.answers import Answer
from annotation.models import Assignment, Project, Ranking, User
from annotation.models.project import Role

# The pace covers recent answers only: slow first answers would affect an overall median for months.
PACE_OVER = 100

_FIGURES = """
SELECT COALESCE(d.answered, 0),
       CASE WHEN d.day = (now() AT TIME ZONE 'UTC')::date THEN d.answered_on_day ELSE 0 END,
       (SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY lately.duration_ms)
          FROM (SELECT r.duration_ms FROM annotation_ranking r
                 WHERE r.project_id = %(project)s AND r.annotator_id = %(annotator)s
                   AND r.kind = 'annotation' AND r.supersedes_id IS NULL
                 ORDER BY r.id DESC LIMIT %(pace_over)s) lately),
       m.role, m.qualified_at IS NOT NULL, m.qualification_attempt, m.extra_attempts,
       (SELECT count(*) FROM annotation_rankingtask t
         WHERE t.project_id = %(project)s AND t.kind = 'qualification' AND t.state = 'open'),
       (SELECT count(*) FROM annotation_rankingtask t
         WHERE t.project_id = %(project)s AND t.kind = 'qualification' AND t.state = 'open'
           AND EXISTS (SELECT FROM annotation_assignment a
                        WHERE a.task_id = t.id AND a.annotator_id = %(annotator)s
                          AND a.attempt = m.qualification_attempt
                          AND (a.state = 'submitted'
                               OR a.state = 'skipped' AND a.skip_way IN ('others', 'drop'))))
  FROM (SELECT) AS always
  LEFT JOIN annotation_membership m ON m.project_id = %(project)s AND m.user_id = %(annotator)s
  LEFT JOIN annotation_desk d ON d.project_id = %(project)s AND d.annotator_id = %(annotator)s
"""


@dataclass(frozen=True)
class Qualification:
    """The current qualification attempt."""

    tasks: int
    left: int
    attempt: int
    attempts: int


@dataclass(frozen=True)
class OwnFigures:
    """`left_today` is the number of tasks left today under the project's caps, or None if there is no cap.
    The numbers of answers include answers to checks, but not to qualification tasks."""

    answered: int
    answered_today: int
    left_today: int | None
    median_seconds: float | None
    qualification: Qualification | None


def own_figures(*, project: Project, annotator: User) -> OwnFigures:
    """The annotator's figures, read with one query whose cost does not depend on the number of answers."""
    given: dict[str, Any] = {"project": project.pk, "annotator": annotator.pk, "pace_over": PACE_OVER}
    with connection.cursor() as cursor:
        cursor.execute(_FIGURES, given)
        answered, today, median_ms, *standing = cursor.fetchone()
    caps = [
        cap - done
        for cap, done in (
            (project.max_per_annotator, answered),
            (project.max_per_annotator_per_day, today),
        )
        if cap is not None
    ]
    return OwnFigures(
        answered=answered,
        answered_today=today,
        left_today=max(0, min(caps)) if caps else None,
        median_seconds=None if median_ms is None else median_ms / 1000,
        qualification=_qualification(project, *standing),
    )


def _qualification(
    project: Project, role: str | None, qualified: bool, attempt: int, extra: int, tasks: int, done: int
) -> Qualification | None:
    """The current attempt. None if the annotator need not qualify, has qualified, or has no attempt left."""
    if project.qualification_pass_mark is None or role != Role.ANNOTATOR or qualified or not tasks:
        return None
    attempts = project.qualification_attempts + extra
    tasks = min(tasks, project.qualification_tasks or tasks)
    return None if attempt > attempts else Qualification(tasks, max(0, tasks - done), attempt, attempts)


@dataclass(frozen=True)
class LastAnswer:
    """An annotator's last answer. `shown` is the assignment as the desk showed it (`desk.reads.shown`)."""

    shown: dict[str, Any]
    answer: Answer
    answered_at: datetime


def last_answer(*, project: Project, annotator: User) -> LastAnswer | None:
    """The annotator's last answer, if it can still be revised. Runs two queries."""
    mine = Ranking.objects.of(annotator).annotations().filter(project=project)
    said = mine.select_related("assignment").order_by("-id").first()
    if said is None or said.assignment is None or not may_be_revised(project, said.assignment):
        return None
    parts = {name: getattr(said, name) for name in Answer.__dataclass_fields__}
    (shown,) = reads.shown([said.assignment])
    return LastAnswer(shown, Answer(**parts), said.created_at)


def may_be_revised(project: Project, assignment: Assignment) -> bool:
    """Whether the answer can be revised. No answer can be revised while the project is archived. An answer to
    a qualification task can never be revised, because the annotator was already shown the correct answer."""
    return (
        project.state != Project.State.ARCHIVED
        and assignment.state == Assignment.State.SUBMITTED
        and not assignment.is_practice
    )
