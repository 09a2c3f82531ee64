"""The facts that decide an annotator's next task, read under the desk lock."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from annotation.database.prepared import prepared_cursor
from annotation.database.sql import Lock, acquire_with
from annotation.models import Project, User

_FACTS = """
SELECT m.state, m.paused_reason, m.role, m.qualified_at IS NOT NULL, m.qualification_attempt,
       m.extra_attempts,
       COALESCE(d.answered, 0), COALESCE(d.skipped, 0),
       CASE WHEN d.day = (now() AT TIME ZONE 'UTC')::date THEN d.answered_on_day ELSE 0 END,
       ARRAY(SELECT a.place FROM annotation_assignment a
              WHERE a.project_id = p.id AND a.annotator_id = u.id AND a.state = 'leased'
              ORDER BY a.leased_at, a.id),
       EXISTS (SELECT FROM annotation_reservation r
                WHERE r.project_id = p.id AND r.annotator_id = u.id AND r.open),
       pg_postmaster_start_time(), p.state
  FROM annotation_project AS p CROSS JOIN (VALUES (%(annotator)s::uuid)) AS u (id)
  LEFT JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = u.id
  LEFT JOIN annotation_desk d ON d.project_id = p.id AND d.annotator_id = u.id
 WHERE p.id = %(project)s
"""


class Facts(NamedTuple):
    """The facts that decide an annotator's next task. The first six fields describe the membership. For an
    admin who is not a member, `qualified` is False, and the other five are None. `places` contains the
    `place` of each open lease, with the current lease first.
    """

    member_state: str | None
    paused_reason: str | None
    role: str | None
    qualified: bool | None
    attempt: int | None
    extra_attempts: int | None
    answered: int
    skipped: int
    answered_today: int
    places: list[int]
    has_reservations: bool
    server_started: datetime
    project_state: str

    @property
    def turns(self) -> int:
        """Number of tasks that the annotator has answered or skipped. A release and a new claim leave this
        number unchanged. An annotator therefore can't avoid a check by releasing the task."""
        return self.answered + self.skipped


def lock_desk_and_read(*, project: Project, annotator: User) -> Facts:
    """Locks the annotator's desk, takes a shared lock on the project's gate, and reads the facts for the
    claim."""
    with prepared_cursor() as cursor:
        acquire_with(cursor, Lock.GATE.shared(project.pk), Lock.DESK.of(project.pk, annotator.pk))
        cursor.execute(_FACTS, {"project": project.pk, "annotator": annotator.pk})
        return Facts(*cursor.fetchone())
