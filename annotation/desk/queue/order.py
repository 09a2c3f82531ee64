"""The queue's order and its conditions, as SQL that picks and cursors share."""

from __future__ import annotations

from typing import Final

from annotation.models import Project

KEY: Final = {
    Project.AllocationPolicy.FIFO: "t.priority * -1, t.id",
    Project.AllocationPolicy.FINISH_STARTED: "t.priority * -1, (t.open_slots = t.overlap), t.id",
}
QUEUED = "t.project_id = %(project)s AND t.state = 'open' AND t.open_slots > 0 AND NOT t.reserved"
# A task whose lease has expired or was released is open to the annotator again. The condition is a scalar
# subquery. While statistics are stale, Postgres would run a NOT EXISTS clause as a scan of all assignments
# (102 claims/s instead of 260). With COALESCE, the planner estimates that the condition holds for half of the
# rows. With "… IS NULL", the planner would estimate 1 row in 200. The planner would then sort a queue of
# 1,000 tasks instead of reading the first row of the queue's index.
NOT_MINE = """COALESCE((SELECT false FROM annotation_assignment a
            WHERE a.task_id = t.id AND a.annotator_id = %(annotator)s
              AND a.state NOT IN ('expired', 'released') LIMIT 1), true)"""
# Selects the tasks that moved since the cursor was set. There are few such tasks, and a separate index finds
# them. Postgres plans the prepared statement without knowing that so few tasks have moved. With the queue's
# own ORDER BY, the plan would scan the queue up to the cursor. ORDER BY ROW(…) prevents this plan.
BEHIND = f"""{QUEUED} AND t.moved_xid >= %(seen)s AND (({{key}}) < ({{place}})) IS TRUE AND {NOT_MINE}
     ORDER BY ROW({{key}})"""
