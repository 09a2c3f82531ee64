"""The permission table: the access rules for every action. Views check this table, and tests cover all of it.

`urls.py` names an :class:`Action` for each method of an endpoint (see `annotation.api.endpoint`). The rules
for each action are in this module. Users who must not know that a project or a row exists get a 404 response
(see `Project.objects.visible_to`). Members without the required role get a 403 response.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from rest_framework.exceptions import NotFound, PermissionDenied

from annotation.api.refusals import AnnotatorPaused
from annotation.models import Membership, Project, User
from annotation.models.people import Scope
from annotation.models.project import Role

READING = frozenset({"GET", "HEAD"})


class Who(StrEnum):
    ANYONE = "anyone, logged in or not"
    LOGGED_IN = "all logged-in users; a list contains only the rows that the user may see"
    OWNER = "the user who owns the row"
    ROLES = "members of the project with one of the roles, and site admins"
    ROLES_ANYWHERE = "active members of any project with one of the roles, and site admins"


class Action(StrEnum):
    """The values complete the sentence “Your role does not allow you to …”."""

    LOG_IN = "log in"
    WHO_AM_I = "see who is logged in"
    OWN_ACCOUNT = "see or change your account"
    OWN_TOKEN = "revoke the token"
    LIST_PROJECTS = "list projects"
    LIST_FORMATS = "list formats"
    LIST_PRESETS = "list presets"
    READ_PROJECT = "read the project"
    CHANGE_PROJECT = "change the project"
    MANAGE_MEMBERS = "manage its members"
    MANAGE_TASKS = "manage its tasks"
    IMPORT = "import data"
    READ_QUALITY = "see progress and quality"
    MANAGE_SNAPSHOTS = "freeze and export snapshots"
    RANK = "rank responses"
    OWN_ASSIGNMENT = "answer the assignment"
    LIST_TRAINING = "list runs and models"
    READ_TRAINING = "see runs and models"
    EXCLUDE = "exclude annotators"
    REVIEW = "review"
    MANAGE_WEBHOOKS = "manage webhooks"
    READ_AUDIT = "read the project's audit log"
    READ_SITE_AUDIT = "read the site's audit log"
    CREATE_PROJECT = "create projects"
    TRAIN = "launch runs and promote models"
    READ_QUEUE = "see the training queue and the workers"


_EVERY_ROLE = frozenset(Role)
_REVIEWER = frozenset({Role.REVIEWER, Role.MANAGER})
_MANAGER = frozenset({Role.MANAGER})
_ADMIN_ONLY: frozenset[Role] = frozenset()


@dataclass(frozen=True)
class Rule:
    who: Who
    roles: frozenset[Role] = _EVERY_ROLE
    scopes: frozenset[Scope] = frozenset()
    """A token needs one of these scopes; for reads, `read` is enough. An action without scopes
    requires a session."""
    known_to: frozenset[Role] = _EVERY_ROLE
    """Members with other roles get 404 instead of 403."""


def _roles(roles: frozenset[Role], scope: Scope, known_to: frozenset[Role] = _EVERY_ROLE) -> Rule:
    return Rule(Who.ROLES, roles, frozenset({scope}), known_to)


RULES: dict[Action, Rule] = {
    Action.LOG_IN: Rule(Who.ANYONE),
    Action.WHO_AM_I: Rule(Who.LOGGED_IN, scopes=frozenset(Scope)),
    Action.OWN_ACCOUNT: Rule(Who.LOGGED_IN),
    Action.OWN_TOKEN: Rule(Who.OWNER),
    Action.LIST_PROJECTS: Rule(Who.LOGGED_IN, scopes=frozenset({Scope.READ})),
    Action.LIST_FORMATS: Rule(Who.LOGGED_IN, scopes=frozenset({Scope.READ})),
    Action.LIST_PRESETS: Rule(Who.LOGGED_IN, scopes=frozenset({Scope.READ})),
    Action.READ_PROJECT: _roles(_EVERY_ROLE, Scope.READ),
    Action.CHANGE_PROJECT: _roles(_MANAGER, Scope.MANAGE),
    Action.MANAGE_MEMBERS: _roles(_MANAGER, Scope.MANAGE),
    Action.MANAGE_TASKS: _roles(_MANAGER, Scope.MANAGE),
    Action.IMPORT: _roles(_MANAGER, Scope.MANAGE),
    Action.READ_QUALITY: _roles(_REVIEWER, Scope.READ),
    Action.MANAGE_SNAPSHOTS: _roles(_MANAGER, Scope.MANAGE),
    Action.RANK: _roles(_EVERY_ROLE, Scope.ANNOTATE),
    Action.OWN_ASSIGNMENT: Rule(Who.OWNER, scopes=frozenset({Scope.ANNOTATE})),
    Action.LIST_TRAINING: Rule(Who.LOGGED_IN, scopes=frozenset({Scope.READ})),
    Action.READ_TRAINING: _roles(_MANAGER, Scope.READ, known_to=_MANAGER),
    Action.EXCLUDE: _roles(_MANAGER, Scope.MANAGE),
    Action.REVIEW: _roles(_REVIEWER, Scope.ANNOTATE),
    Action.MANAGE_WEBHOOKS: _roles(_MANAGER, Scope.MANAGE),
    Action.READ_AUDIT: _roles(_MANAGER, Scope.MANAGE),
    Action.READ_SITE_AUDIT: _roles(_ADMIN_ONLY, Scope.MANAGE),
    Action.CREATE_PROJECT: Rule(Who.ROLES_ANYWHERE, _MANAGER, frozenset({Scope.MANAGE})),
    Action.READ_QUEUE: _roles(_ADMIN_ONLY, Scope.TRAIN),
    Action.TRAIN: _roles(_ADMIN_ONLY, Scope.TRAIN, known_to=_MANAGER),
}


def may_role(action: Action, role: str | None) -> bool:
    """Whether this role allows the action. The result does not apply to site admins, who may do
    everything."""
    return role is not None and Role(role) in RULES[action].roles


def scopes_for(action: Action, method: str) -> frozenset[Scope]:
    """The scopes that allow the action; a token needs at least one of them. The result is empty if the action
    can't be performed with a token."""
    scopes = RULES[action].scopes
    return scopes | {Scope.READ} if scopes and method in READING else scopes


# A paused member can still see the project and the reason for the pause.
LEFT_TO_PAUSED = frozenset({Action.READ_PROJECT, Action.LIST_PROJECTS, Action.WHO_AM_I, Action.OWN_ACCOUNT})


def require(user: User, action: Action, *, role: str | None = None, paused: str | None = None) -> None:
    """Checks that `user`, whose role in the project is `role`, may perform `action`.

    `paused` is the reason for the user's pause, possibly empty; None if the user is not paused. Raises
    AnnotatorPaused if a paused member tries to rank. Raises NotFound if users with this role must not know
    that the row exists. Raises PermissionDenied for every other refusal.
    """
    if user.is_admin:
        return
    if paused is not None and action not in LEFT_TO_PAUSED and may_role(action, role):
        if action in {Action.RANK, Action.OWN_ASSIGNMENT}:
            raise AnnotatorPaused(paused)
        raise PermissionDenied("Your participation in this project is paused. Ask a manager.")
    if may_role(action, role):
        return
    if role is not None and Role(role) not in RULES[action].known_to:
        raise NotFound
    able = "a manager" if Role.MANAGER in RULES[action].roles else "a site admin"
    raise PermissionDenied(f"Your role ({role or 'none'}) does not allow you to {action.value}. Ask {able}.")


def require_in(user: User, action: Action, project: Project) -> None:
    """Like :func:`require`, but reads the role with one query."""
    mine = Membership.objects.filter(project=project, user=user).first()
    if mine is None:
        require(user, action)
    else:
        require(user, action, role=mine.role, paused=paused_reason(mine.state, mine.paused_reason))


def require_anywhere(user: User, action: Action) -> None:
    """Checks an action outside a project, such as creating a project. Raises PermissionDenied unless `user`
    is a site admin or, as an active member of some project, has a role that allows `action`."""
    roles = RULES[action].roles
    if user.is_admin or Membership.objects.active().filter(user=user, role__in=roles).exists():
        return
    able = " or ".join(f"project {role}s" for role in sorted(roles))
    raise PermissionDenied(f"Only {able} and site admins may {action.value}.")


def paused_reason(state: str | None, reason: str | None) -> str | None:
    """The `paused` argument of :func:`require` for a membership. None if the membership is not paused."""
    return (reason or "") if state == Membership.State.PAUSED else None


def require_scope(action: Action, method: str, *, held: Collection[str]) -> None:
    """Raises PermissionDenied unless one of the token's scopes (`held`) allows `action` with the HTTP method
    `method`."""
    wanted = scopes_for(action, method)
    if not wanted:
        raise PermissionDenied(f"Tokens can't {action.value}. Log in with a browser.", code="scope")
    if not wanted.intersection(held):
        has = ", ".join(sorted(held)) or "none"
        raise PermissionDenied(
            f"This token's scopes ({has}) don't allow you to {action.value}."
            f" Create a token with the scope {' or '.join(sorted(wanted))}.",
            code="scope",
        )
