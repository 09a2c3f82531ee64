"""Who may do what: the one table that the views ask and the tests walk through.

Two answers for "no". Someone who isn't in the project is told that it doesn't exist (404, see
`Project.objects.visible_to`); a member whose role isn't enough is told so (403).
"""

from __future__ import annotations

from enum import StrEnum

from rest_framework.exceptions import PermissionDenied

from annotation.models import Membership, Project, User
from annotation.models.project import Role


class Action(StrEnum):
    READ_PROJECT = "read the project"
    CHANGE_PROJECT = "change the project"
    MANAGE_MEMBERS = "manage its members"
    IMPORT = "import data"
    READ_QUALITY = "see progress and quality"
    MANAGE_SNAPSHOTS = "freeze and export snapshots"
    RANK = "rank responses"
    READ_TRAINING = "see runs and models"
    CREATE_PROJECT = "create projects"
    TRAIN = "launch runs and promote models"


_EVERY_ROLE = frozenset(Role)
_MANAGER = frozenset({Role.MANAGER})

# Roles that may; an admin of the site may do all of it, and only an admin what no role may.
ALLOWED: dict[Action, frozenset[Role]] = {
    Action.READ_PROJECT: _EVERY_ROLE,
    Action.CHANGE_PROJECT: _MANAGER,
    Action.MANAGE_MEMBERS: _MANAGER,
    Action.IMPORT: _MANAGER,
    Action.READ_QUALITY: frozenset({Role.REVIEWER, Role.MANAGER}),
    Action.MANAGE_SNAPSHOTS: _MANAGER,
    Action.RANK: _EVERY_ROLE,
    Action.READ_TRAINING: _MANAGER,
    Action.CREATE_PROJECT: frozenset(),
    Action.TRAIN: frozenset(),
}


def require(user: User, action: Action, *, role: str | None = None) -> None:
    """Raises PermissionDenied unless `user`, whose role in the project at hand is `role`, may do `action`."""
    if user.is_admin or (role is not None and Role(role) in ALLOWED[action]):
        return
    able = ", ".join(sorted(ALLOWED[action])) or "an admin"
    raise PermissionDenied(f"Your role ({role or 'none'}) may not {action.value}; ask {able}.")


def require_in(user: User, action: Action, project: Project) -> None:
    """As :func:`require`, looking the role up (one query)."""
    mine = Membership.objects.active().filter(project=project, user=user)
    require(user, action, role=mine.values_list("role", flat=True).first())
