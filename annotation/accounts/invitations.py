"""An invitation is a link that lets one person join a project. The link works only once and only until it
expires.

The token is random and shown once, when the invitation is created. The database contains only the token's
SHA-256, so a copy of the database contains no tokens, and links survive a change of SECRET_KEY.
"""

from __future__ import annotations

import secrets
from datetime import timedelta
from http import HTTPStatus

from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from annotation.accounts.members import add_member
from annotation.accounts.tokens import TOKEN_BYTES, digest_of
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
    """Creates an invitation. Returns the invitation and its token; the token can't be retrieved later.
    Raises Problem if a field is invalid or too many invitations are open."""
    wrong = []
    if role not in Role.values:
        wrong.append(FieldProblem("role", f"Choose one of {', '.join(Role.values)}."))
    if not 1 <= days <= MAX_DAYS:
        wrong.append(FieldProblem("days", f"An invitation is valid for 1 to {MAX_DAYS} days."))
    if wrong:
        raise Problem("This invitation can't be created.", errors=wrong)
    if Invitation.objects.open().filter(project=project).count() >= MAX_OPEN:
        raise Problem(
            f"The project already has {MAX_OPEN} open invitations. Revoke those that are no longer needed.",
            type="too-many",
        )
    token = secrets.token_urlsafe(TOKEN_BYTES)
    invitation = Invitation.objects.create(
        project=project,
        role=role,
        digest=digest_of(token),
        note=note,
        created_by=by,
        expires_at=timezone.now() + timedelta(days=days),
    )
    return invitation, token


def standing(*, token: str) -> Invitation:
    """Returns the invitation with this token; its project and its creator are read with the same query.
    Raises Problem with the reason if no such invitation exists or the invitation can no longer be
    accepted."""
    found = Invitation.objects.select_related("project", "created_by").filter(digest=digest_of(token))
    invitation = found.first()
    if invitation is None:
        raise _unknown()
    if invitation.state != Invitation.State.OPEN:
        raise _gone(invitation)
    return invitation


@transaction.atomic
def accept_with_new_account(*, token: str, username: str, password: str) -> Membership:
    """Creates the account and the membership atomically, and uses up the invitation. Raises Problem for an
    invalid name or password, and Conflict for a taken name."""
    invitation = standing(token=token)
    try:
        validate_password(password, User(username=username))
    except ValidationError as error:
        reasons = [FieldProblem("password", reason) for reason in error.messages]
        raise Problem("The password is not accepted.", errors=reasons) from None
    user, _ = create_user(username=username, password=password)
    # From this point on, the new user is the actor in the audit log.
    with acting_as(f"user:{user.pk}"):
        return _enter(invitation, user)


@transaction.atomic
def accept(*, token: str, user: User) -> Membership:
    """Adds an existing user to the project. Raises Conflict if the user is excluded or already a member (an
    existing member's role does not change)."""
    invitation = standing(token=token)
    mine = Membership.objects.filter(project=invitation.project, user=user).first()
    if mine is not None:
        raise Conflict(
            f"{user.username} is already a member of this project, as {mine.role}. The invitation remains"
            " valid. A manager can change the role on the members page.",
            type="already-a-member",
        )
    if Exclusion.objects.standing().filter(project=invitation.project, annotator=user).exists():
        raise Conflict(
            "You are excluded from this project. Ask one of the project's managers for the reason.",
            type="excluded",
        )
    return _enter(invitation, user)


def revoke(*, invitation: Invitation) -> Invitation:
    """Revokes an open invitation. Raises Conflict if the invitation was already accepted or revoked, or has
    expired."""
    if Invitation.objects.open().filter(pk=invitation.pk).update(revoked_at=Now()) != 1:
        invitation.refresh_from_db()
        raise Conflict(f"The invitation is already {invitation.state}.", type="invitation-over")
    invitation.refresh_from_db()
    return invitation


def _enter(invitation: Invitation, user: User) -> Membership:
    # Compare-and-set: if two people accept the invitation simultaneously, one joins, and the other's new
    # account is rolled back.
    taken = Invitation.objects.open().filter(pk=invitation.pk)
    if taken.update(accepted_by=user, accepted_at=Now()) != 1:
        invitation.refresh_from_db()
        raise _gone(invitation)
    member, _ = add_member(project=invitation.project, user=user, role=invitation.role)
    return member


def _unknown() -> Problem:
    return Problem(
        "This is not an invitation to this site. Check that the whole link was copied.",
        status=HTTPStatus.NOT_FOUND,
        type="invitation-unknown",
    )


def _gone(invitation: Invitation) -> Problem:
    said = {
        Invitation.State.ACCEPTED: "This invitation has been used. An invitation is valid for one person.",
        Invitation.State.REVOKED: "This invitation was revoked.",
    }
    # If this machine's clock is behind the database's clock, an invitation that has just expired can still
    # look valid here.
    detail = said.get(invitation.state, "This invitation has expired.")
    return Problem(
        f"{detail} Ask the sender for a new invitation.",
        status=HTTPStatus.GONE,
        type="invitation-over",
    )
