"""Inter-annotator agreement per task, stored for the review queue.

A trigger marks a task's row as stale when something that affects the agreement changes. This module
recomputes stale rows, many per statement, outside annotators' requests. Chance-corrected agreement is in
`preferences.statistics`.
"""

from __future__ import annotations

from uuid import UUID

from django.db import connection, transaction

from annotation.database.sql import Lock, acquire
from annotation.models import Project, TaskAgreement

BATCH_TASKS = 2000
# Limits how long a reader of the review queue waits; the scheduled task computes the remaining rows.
BATCHES_AT_ONCE = 5

# Each annotator gives one verdict on a pair of responses: first better, second better, tie, or no order.
# There is no order if the task was not rankable or all responses were bad. Imported rankings without an order
# (comments, ratings) are not verdicts and are left out. Agreement is computed over all pairs of annotators
# who judged the same two responses. It is the share of these pairs that gave the same verdict. With a top-k
# form, pairs of two unranked responses don't count.
_WORK_OUT = """
WITH counted AS (
    SELECT r.id, r.task_id, r.tiers = '[]'::jsonb AS no_order
      FROM annotation_ranking r
     WHERE r.task_id = ANY (%(tasks)s) AND r.kind = 'annotation'
       AND (r.tiers <> '[]'::jsonb OR r.not_rankable OR r.all_bad)
       AND NOT EXISTS (SELECT FROM annotation_ranking n WHERE n.supersedes_id = r.id)
       AND NOT EXISTS (SELECT FROM annotation_exclusion e
                        WHERE e.project_id = r.project_id AND e.lifted_at IS NULL
                          AND (e.annotator_id = r.annotator_id
                            OR r.annotator_id IS NULL AND e.annotator_label <> ''
                               AND e.annotator_label = r.annotator_label))
), people AS (
    SELECT task_id, count(*) AS n, count(*) FILTER (WHERE no_order) AS unordered FROM counted GROUP BY task_id
), pairs AS (
    SELECT c.task_id,
           count(*) FILTER (WHERE NOT x.is_tie AND x.preferred_id < x.other_id) AS one,
           count(*) FILTER (WHERE NOT x.is_tie AND x.preferred_id > x.other_id) AS other,
           count(*) FILTER (WHERE x.is_tie) AS tied
      FROM counted c JOIN annotation_comparison x ON x.ranking_id = c.id
     GROUP BY c.task_id, least(x.preferred_id, x.other_id), greatest(x.preferred_id, x.other_id)
), agreed AS (
    SELECT task_id,
           sum(one * (one - 1) + other * (other - 1) + tied * (tied - 1)
               + unordered * (unordered - 1)) AS same,
           sum((one + other + tied + unordered) * (one + other + tied + unordered - 1)) AS possible
      FROM pairs JOIN people USING (task_id) GROUP BY task_id
)
UPDATE annotation_taskagreement a
   SET stale = false,
       rankings = COALESCE(people.n, 0),
       agreement = CASE WHEN people.n >= 2 AND people.unordered = people.n THEN 1
                        WHEN people.n >= 2 AND agreed.possible > 0
                        THEN agreed.same::float / agreed.possible END
  FROM unnest(%(tasks)s) AS due (task_id)
  LEFT JOIN people USING (task_id)
  LEFT JOIN agreed USING (task_id)
 WHERE a.task_id = due.task_id
"""


def refresh_agreement(*, project: Project | None = None) -> int:
    """Recomputes stale rows, up to a limit, for one project or for all projects. Returns the number of
    recomputed tasks."""
    done = 0
    for _ in range(BATCHES_AT_ONCE):
        batch = _refresh_batch(project)
        done += batch
        if batch < BATCH_TASKS:
            break
    return done


@transaction.atomic
def _refresh_batch(project: Project | None) -> int:
    stale = TaskAgreement.objects.filter(stale=True)
    if project is not None:
        stale = stale.filter(project=project)
    if not stale.exists():
        return 0
    acquire(Lock.AGREEMENT.of())
    # Rows are locked first and read in a second statement, which sees all changes committed before the rows
    # were locked. A later change to a locked row waits for this transaction and then marks the row as stale
    # again. Rows that a concurrent transaction has locked are left for the next batch.
    locked = stale.order_by("task_id").select_for_update(skip_locked=True, no_key=True)
    tasks: list[UUID] = list(locked.values_list("task_id", flat=True)[:BATCH_TASKS])
    if tasks:
        with connection.cursor() as cursor:
            cursor.execute(_WORK_OUT, {"tasks": tasks})
    return len(tasks)
