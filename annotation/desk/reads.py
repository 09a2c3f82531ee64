"""The database reads of a desk request before and after its service call, with one query each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection

from annotation.database.rows import Columns
from annotation.models import Assignment, FormVersion, Project, RankingTask, User

_PROJECT = Columns(Project, "p")
_ASSIGNMENT = Columns(Assignment, "a")
_TASK = Columns(RankingTask, "t")
_FORM = Columns(FormVersion, "f")

_OWN_ASSIGNMENT = f"""
SELECT {_ASSIGNMENT.sql}, {_TASK.sql}, {_PROJECT.sql}, {_FORM.sql}, m.role, m.state, m.paused_reason
  FROM annotation_assignment a
  JOIN annotation_rankingtask t ON t.id = a.task_id
  JOIN annotation_project p ON p.id = a.project_id
  JOIN annotation_formversion f ON f.id = a.form_version_id
  LEFT JOIN annotation_membership m ON m.project_id = p.id AND m.user_id = a.annotator_id
 WHERE a.id = %(id)s AND a.annotator_id = %(user)s
"""
_SHOWN = """
SELECT a.id, a.token, a.expires_at, a.draft, a.draft_version, a.task_id, prompt.messages,
       f.form,
       (SELECT json_agg(json_build_object('id', r.id, 'text', r.text)
                        ORDER BY array_position(a.shown_order, r.id))
          FROM annotation_taskresponse s JOIN annotation_response r ON r.id = s.response_id
         WHERE s.task_id = a.task_id)
  FROM annotation_assignment a
  JOIN annotation_rankingtask t ON t.id = a.task_id
  JOIN annotation_prompt prompt ON prompt.id = t.prompt_id
  JOIN annotation_formversion f ON f.id = a.form_version_id
 WHERE a.id = ANY(%s)
"""


class MemberFacts(NamedTuple):
    """A user's membership in a project. All fields are None for an admin who is not a member."""

    role: str | None
    state: str | None
    paused_reason: str | None


def own_assignment(*, user: User, id: UUID) -> tuple[Assignment, MemberFacts] | None:
    """The user's assignment with its task, project and form, and the user's membership in the project."""
    with connection.cursor() as cursor:
        cursor.execute(_OWN_ASSIGNMENT, {"user": user.pk, "id": id})
        row = cursor.fetchone()
    if row is None:
        return None
    values = iter(row)
    assignment, assignment.task = _ASSIGNMENT.take(values), _TASK.take(values)
    assignment.project, assignment.form_version = _PROJECT.take(values), _FORM.take(values)
    return assignment, MemberFacts(*values)


def shown(leases: Sequence[Assignment]) -> list[dict[str, Any]]:
    """The annotator's view of these leases, as the API sends it. The view is defined only here; the
    serializer `Assignment` of `desk.api` describes it for the schema."""
    with connection.cursor() as cursor:
        cursor.execute(_SHOWN, [[lease.pk for lease in leases]])
        rows = {row[0]: row for row in cursor.fetchall()}
    return [_shown(lease, *rows[lease.pk]) for lease in leases]


def _shown(
    lease: Assignment,
    id: UUID,
    token: UUID,
    expires_at: datetime,
    draft: Any,
    draft_version: int,
    task_id: UUID,
    messages: Any,
    form: Any,
    responses: Any,
) -> dict[str, Any]:
    return {
        "id": str(id),
        "token": str(token),
        "expires_at": expires_at.isoformat().replace("+00:00", "Z"),
        "task": {
            "id": str(task_id),
            "prompt": {
                "messages": [
                    {"role": message["role"], "content": message["content"]} for message in _read(messages)
                ]
            },
        },
        "responses": _read(responses),
        "form": _read(form),
        "draft": _read(draft),
        "draft_version": draft_version,
        "practice": lease.is_practice,
    }


def _read(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value
