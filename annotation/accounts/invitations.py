"""Invitations: a link that lets one person into a project, once, before it runs out.

The token is the invitation's id with a signature by the site's key: it can't be made up, and a copy of the
database holds none. Who makes the invitation sees it once.
"""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from uuid import UUID

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.signing import BadSignature, Signer
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from annotation.accounts.members import add_member
from annotation.accounts.users import create_user
from annotation.database.acting import acting_as
from annotation.models import Exclusion, Invitation, Membership, Project, User
from annotation.models.invitation import MAX_DAYS
from annotation.models.project import Role
from config.problems import Conflict, FieldProblem, Problem

MAX_OPEN = 200
DEFAULT_DAYS = 7


def invite(
    *, project: Project, role: str, by: User | None = None, days: int = DEFAULT_DAYS, note: str = ""
) -> tuple[Invitation, str]:
    """A new invitation and its token: the only time that it can be seen. Raises Problem for a wrong field,
    and when too many are open."""
    wrong = []
    if role not in Role.values:
        wrong.append(FieldProblem("role", f"Choose one of {', '.join(Role.values)}."))
    if not 1 <= days <= MAX_DAYS:
        wrong.append(FieldProblem("days", f"An invitation holds for 1 to {MAX_DAYS} days."))
    if wrong:
        raise Problem("This invitation can't be made.", errors=wrong)
    if Invitation.objects.open().filter(project=project).count() >= MAX_OPEN:
        raise Problem(
            f"{MAX_OPEN} invitations to this project are open; revoke those that nobody needs.",
            type="too-many",
        )
    invitation = Invitation.objects.create(
        project=project,
        role=role,
        note=note,
        created_by=by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    return invitation, _signer().sign(invitation.pk.hex)


def standing(*, token: str) -> Invitation:
    """The invitation of this token, its project and its maker loaded. Raises Problem, and says why, when it
    is none or can't be accepted any more."""
    try:
        id = UUID(hex=_signer().unsign(token))
    except (BadSignature, ValueError):
        raise _unknown() from None
    invitation = Invitation.objects.select_related("project", "created_by").filter(pk=id).first()
    if invitation is None:
        raise _unknown()
    if invitation.state != Invitation.State.OPEN:
        raise _gone(invitation)
    return invitation


@transaction.atomic
def accept_with_new_account(*, token: str, username: str, password: str) -> Membership:
    """Makes the account and the membership, both or neither, and uses the invitation up. Raises Problem for a
    name or a password that won't do, Conflict for a name that is taken."""
    invitation = standing(token=token)
    try:
        validate_password(password, User(username=username))
    except ValidationError as error:
        reasons = [FieldProblem("password", reason) for reason in error.messages]
        raise Problem("The password won't do.", errors=reasons) from None
    user, _ = create_user(username=username, password=password)
    # Until now nobody; what follows is their doing.
    with acting_as(f"user:{user.pk}"):
        return _enter(invitation, user)


@transaction.atomic
def accept(*, token: str, user: User) -> Membership:
    """`user` joins with the account they have. Raises Conflict for who is a member already (their role stays
    as it is), and for who is excluded."""
    invitation = standing(token=token)
    mine = Membership.objects.filter(project=invitation.project, user=user).first()
    if mine is not None:
        raise Conflict(
            f"{user.username} is in this project already, as {mine.role}. The invitation is not used up;"
            " another role is given on the members page.",
            type="already-a-member",
        )
    if Exclusion.objects.standing().filter(project=invitation.project, annotator=user).exists():
        raise Conflict("You are excluded from this project; ask one of its managers.", type="excluded")
    return _enter(invitation, user)


def revoke(*, invitation: Invitation) -> Invitation:
    """Nobody can accept it any more. Conflict when it is over already."""
    if Invitation.objects.open().filter(pk=invitation.pk).update(revoked_at=Now()) != 1:
        invitation.refresh_from_db()
        raise Conflict(f"The invitation is {invitation.state} already.", type="invitation-over")
    invitation.refresh_from_db()
    return invitation


def _enter(invitation: Invitation, user: User) -> Membership:
    # Compare-and-set: of two who follow the link at once, one gets in, and the other's account is undone.
    taken = Invitation.objects.open().filter(pk=invitation.pk)
    if taken.update(accepted_by=user, accepted_at=Now()) != 1:
        invitation.refresh_from_db()
        raise _gone(invitation)
    member, _ = add_member(project=invitation.project, user=user, role=invitation.role)
    return member


def _signer() -> Signer:
    return Signer(salt="annotation.invitation", sep=".")


def _unknown() -> Problem:
    return Problem(
        "This is no invitation of this site. Check that the whole link was copied.",
        status=HTTPStatus.NOT_FOUND,
        type="invitation-unknown",
    )


def _gone(invitation: Invitation) -> Problem:
    said = {
        Invitation.State.ACCEPTED: "This invitation has been used: it lets one person in, once.",
        Invitation.State.REVOKED: "This invitation was revoked.",
    }
    # Open by this clock still, and over by the database's: it has just run out.
    detail = said.get(invitation.state, "This invitation has run out.")
    return Problem(
        f"{detail} Ask the person who sent it for another one.",
        status=HTTPStatus.GONE,
        type="invitation-over",
    )
