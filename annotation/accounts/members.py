"""Project members: adding users, changing their roles, and pausing them."""

from __future__ import annotations

from django.db import transaction

from annotation.desk import membership
from annotation.models import Exclusion, Membership, Project, User
from annotation.models.project import Role
from config.problems import Conflict, FieldProblem, Problem


@transaction.atomic
def add_member(
    *,
    project: Project,
    user: User,
    role: str,
    state: str | None = None,
    paused_reason: str = "",
) -> tuple[Membership, bool]:
    """Adds `user` to the project, or changes their membership. Returns the membership and whether it is new.

    Without `state`, a paused member stays paused. Pausing a member releases their leases. After a
    pause, only new answers count towards the member's accuracy.
    """
    if role not in Role.values:
        raise Problem(
            f"There is no role {role!r}.",
            errors=[FieldProblem("role", f"Choose one of {', '.join(Role.values)}.")],
        )
    member, created = Membership.objects.update_or_create(project=project, user=user, defaults={"role": role})
    if state == Membership.State.PAUSED:
        membership.pause(member=member, reason=paused_reason)
    elif state == Membership.State.ACTIVE and member.state == Membership.State.PAUSED:
        membership.resume(member=member)
    member.refresh_from_db()
    return member, created


def put_member(
    *, project: Project, username: str, role: str, state: str | None = None, paused_reason: str = ""
) -> tuple[Membership, bool]:
    """Like :func:`add_member`, but finds the user by name. Raises Problem if there is no active user with
    this name, and Conflict if the change would activate an excluded user."""
    user = User.objects.filter(username=username, is_active=True).first()
    if user is None:
        raise Problem(
            f"There is no user {username!r}.",
            errors=[
                FieldProblem(
                    "username",
                    "No account has this username. Invite the person by link, or create the account with"
                    " manage.py create_user.",
                )
            ],
        )
    excluded = Exclusion.objects.standing().filter(project=project, annotator=user)
    activates = state == Membership.State.ACTIVE or (
        state is None and not Membership.objects.filter(project=project, user=user).exists()
    )
    if activates and excluded.exists():
        raise Conflict(
            f"{username} is excluded from this project. Lift the exclusion first.", type="excluded"
        )
    return add_member(project=project, user=user, role=role, state=state, paused_reason=paused_reason)
