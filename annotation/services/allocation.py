"""Who ranks what next: leases on tasks, claimed in one statement and given back when they run out.

`open_slots` of a task is kept by trigger, so every way of giving a slot back is just a change of the
assignment's state, made by compare-and-set.
"""

from __future__ import annotations

import logging
import uuid
from datetime import datetime, timedelta
from typing import Final

from django.db import IntegrityError, OperationalError, transaction
from django.db.models.functions import Now
from psycopg import errors

from annotation.ids import uuid7
from annotation.models import Assignment, Project, User
from config.problems import Conflict

log = logging.getLogger(__name__)

# Losing a race means that somebody else moved on; three in a row has not been seen outside the race tests.
CLAIM_ATTEMPTS = 5

_ORDER: Final = {
    Project.AllocationPolicy.FIFO: "t.priority * -1, t.id",
    Project.AllocationPolicy.FINISH_STARTED: "t.priority * -1, (t.open_slots = t.overlap), t.id",
}

# held: the lease the annotator has (another tab's, or one that ran out and was not swept yet: its slot is
#   still theirs). It is renewed; one that had run out gets a new token: the old one was refused.
# pick: the first task with a free slot that isn't the annotator's already. "Isn't" is a scalar subquery: NOT
#   EXISTS turns into a scan of all assignments while statistics are stale (102 against 260 claims/s). Tasks
#   whose lease this annotator let run out or gave back are open to them again.
# taken: the lease. Responses are shown in an order that hangs on the task and the annotator alone, so that it
#   is the same after a reload and unlike from person to person.
_CLAIM = """
WITH held AS (
    UPDATE annotation_assignment SET
        token = CASE WHEN expires_at > now() THEN token ELSE %(token)s END,
        expires_at = now() + make_interval(secs => %(lease)s)
    WHERE project_id = %(project)s AND annotator_id = %(annotator)s AND state = 'leased'
    RETURNING *
), pick AS (
    SELECT t.id FROM annotation_rankingtask t
    WHERE NOT EXISTS (SELECT FROM held)
      AND t.project_id = %(project)s AND t.state = 'open' AND t.open_slots > 0 AND NOT t.reserved
      AND (SELECT a.id FROM annotation_assignment a
            WHERE a.task_id = t.id AND a.annotator_id = %(annotator)s
              AND a.state NOT IN ('expired', 'released')) IS NULL
    ORDER BY {order} LIMIT 1
    FOR NO KEY UPDATE OF t {skip_locked}
), taken AS (
    INSERT INTO annotation_assignment AS a (
        id, task_id, project_id, annotator_id, state, token, shown_order, leased_at, expires_at,
        draft_version, skip_reason, idempotency_key, answer_digest)
    SELECT %(id)s, pick.id, %(project)s, %(annotator)s, 'leased', %(token)s,
           (SELECT array_agg(s.response_id ORDER BY md5(concat(pick.id, %(annotator)s::uuid, s.response_id)))
              FROM annotation_taskresponse s WHERE s.task_id = pick.id),
           now(), now() + make_interval(secs => %(lease)s), 0, '', '', ''
      FROM pick
    ON CONFLICT (task_id, annotator_id, attempt) DO UPDATE SET
        state = 'leased', token = EXCLUDED.token,
        leased_at = EXCLUDED.leased_at, expires_at = EXCLUDED.expires_at
    WHERE a.state IN ('expired', 'released')
    RETURNING *
)
SELECT * FROM held UNION ALL SELECT * FROM taken
"""


class ProjectNotActive(Conflict):
    type = "project-not-active"

    def __init__(self, project: Project) -> None:
        super().__init__(
            f"The project {project.slug} is {project.get_state_display().lower()}: it gives out no tasks."
        )


class LeaseLost(Conflict):
    type = "lease-lost"


def claim_next_task(*, project: Project, annotator: User) -> Assignment | None:
    """Leases the next task to the annotator, or returns the lease they have; None: nothing is left for them.

    Raises ProjectNotActive. Must not be called inside a transaction: it would hold the task for its length.
    """
    if project.state != Project.State.ACTIVE:
        raise ProjectNotActive(project)
    # First past whatever others are claiming at this moment. When that finds nothing, once more in line with
    # them: the last slots of a project are often on a task that somebody has locked for a millisecond.
    return _claim(project, annotator, wait=False) or _claim(project, annotator, wait=True)


def _claim(project: Project, annotator: User, *, wait: bool) -> Assignment | None:
    for attempt in range(1, CLAIM_ATTEMPTS + 1):
        sql, params = claim_statement(project=project, annotator=annotator, wait=wait)
        try:
            with transaction.atomic():
                return next(iter(Assignment.objects.raw(sql, params)), None)
        except IntegrityError as error:
            if _was_excluded(error):
                return None
            # The annotator's other tab was first; on the next look its lease is there to return.
            if not isinstance(error.__cause__, errors.UniqueViolation) or attempt == CLAIM_ATTEMPTS:
                raise
        except OperationalError as error:
            if not isinstance(error.__cause__, errors.DeadlockDetected) or attempt == CLAIM_ATTEMPTS:
                raise
    raise AssertionError("unreachable")


def _was_excluded(error: IntegrityError) -> bool:
    """Whether an exclusion that ended while the claim ran refused the lease (the trigger refuse_excluded)."""
    cause = error.__cause__
    return (
        isinstance(cause, errors.CheckViolation) and cause.diag.constraint_name == "nothing_for_the_excluded"
    )


def claim_statement(
    *, project: Project, annotator: User, wait: bool = False
) -> tuple[str, dict[str, object]]:
    """The claim as (SQL, parameters), apart so that a test can EXPLAIN it."""
    order = _ORDER[Project.AllocationPolicy(project.allocation_policy)]
    return _CLAIM.format(order=order, skip_locked="" if wait else "SKIP LOCKED"), {
        "id": uuid7(),
        "token": uuid.uuid4(),
        "project": project.pk,
        "annotator": annotator.pk,
        "lease": project.lease_seconds,
    }


def renew_lease(*, assignment: Assignment, token: uuid.UUID) -> datetime:
    """The new end of the lease. Raises LeaseLost when it is no longer held under this token."""
    until = Now() + timedelta(seconds=assignment.project.lease_seconds)
    held = Assignment.objects.held_with(token).filter(pk=assignment.pk)
    if held.update(expires_at=until) != 1:
        raise LeaseLost("This lease ran out or was given back. Ask for the next task.")
    assignment.refresh_from_db(fields=["expires_at"])
    return assignment.expires_at


def release_lease(*, assignment: Assignment, token: uuid.UUID) -> None:
    """Gives the task back at once; the annotator may get it again. Raises LeaseLost."""
    _leave(assignment, token, state=Assignment.State.RELEASED)


def skip_assignment(*, assignment: Assignment, token: uuid.UUID, reason: str) -> None:
    """Gives the task back, not to come again for this annotator. Raises LeaseLost."""
    _leave(assignment, token, state=Assignment.State.SKIPPED, skip_reason=reason)


def _leave(assignment: Assignment, token: uuid.UUID, **changes: str) -> None:
    held = Assignment.objects.leased().filter(pk=assignment.pk, token=token)
    if held.update(**changes) != 1:
        raise LeaseLost("This lease is not held any more; there is nothing to give back.")


def expire_leases() -> int:
    """Takes back every lease that ran out; how many. Drafts stay with the assignment."""
    with transaction.atomic():
        # A row that a submit or another sweep has locked is theirs; the next sweep sees what is left.
        run_out = Assignment.objects.run_out().select_for_update(skip_locked=True, no_key=True)
        expired = Assignment.objects.filter(
            pk__in=run_out.order_by("task_id").values("pk"), state="leased"
        ).update(state=Assignment.State.EXPIRED)
    if expired:
        log.info("%d leases ran out and were taken back", expired)
    return expired
