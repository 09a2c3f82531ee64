"""The optional second factor: a code from an authenticator app (TOTP). If the app is lost, a recovery code is
used instead."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from allauth.account.stages import LoginStageController
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.stages import AuthenticateStage
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.http import HttpRequest
from django.utils import timezone

from annotation.accounts.events import record_event
from annotation.accounts.login import allauth_internals as internals
from annotation.accounts.login.limits import code_limits, guessing
from annotation.accounts.login.passwords import confirm_password
from annotation.models import AccountEvent, User
from config.problems import Conflict, FieldProblem, Problem

log = logging.getLogger(__name__)

# A code is valid for its own 30 seconds and, because clocks differ, for the 30 seconds before and after.
CODE_SECONDS = 90
# Minimum time between two audit entries about the same unreadable second factor, so that repeated logins
# don't fill the audit log.
UNREADABLE_RECORDED_ONCE_IN = timedelta(hours=1)
RECENT = timedelta(minutes=15)


@dataclass(frozen=True)
class Enrolment:
    secret: str
    uri: str
    """The content of the QR code: `otpauth://…`"""
    qr_svg: str


@dataclass(frozen=True)
class State:
    enabled: bool
    recovery_codes_left: int
    unreadable: bool = False
    """The app's secret or the recovery codes can't be decrypted (see `config.keys`)."""


def state_of(user: User) -> State:
    mine = {each.type: each for each in Authenticator.objects.filter(user=user)}
    codes = mine.get(Authenticator.Type.RECOVERY_CODES)
    unreadable = [row for row in mine.values() if not internals.is_readable(row)]
    left = internals.recovery_codes_left(codes) if codes and codes not in unreadable else 0
    return State(
        enabled=Authenticator.Type.TOTP in mine, recovery_codes_left=left, unreadable=bool(unreadable)
    )


def begin_enrolment(*, request: HttpRequest, user: User, password: str) -> Enrolment:
    """Starts an enrolment with a new secret. The session stores the secret until the user enters a first
    code, which proves that the app has the secret. Raises Problem if the password is wrong, and Conflict if
    the second factor is already on."""
    confirm_password(request=request, user=user, password=password)
    if state_of(user).enabled:
        raise _enabled()
    secret = internals.begin_totp()
    uri = get_adapter().build_totp_url(user, secret)
    return Enrolment(secret=secret, uri=uri, qr_svg=get_adapter().build_totp_svg(uri))


def confirm_enrolment(*, request: HttpRequest, user: User, code: str) -> list[str]:
    """Switches the second factor on. Returns the recovery codes, which can't be retrieved later.

    Raises Conflict if no enrolment is in progress, and Problem for a wrong code.
    """
    secret = internals.begun_totp(request)
    if secret is None:
        raise Conflict(
            "No setup is in progress, or the session has ended. Start the setup again.", type="no-enrolment"
        )
    with guessing(request, code_limits(request, user)) as guess:
        guess.right = internals.is_totp_code(secret, code)
    if not guess.right:
        raise _wrong_code()
    try:
        with transaction.atomic():
            internals.activate_totp(user, secret)
            codes = _new_codes(user)
    except IntegrityError:
        raise _enabled() from None
    internals.forget_totp(request)
    return codes


def disable(*, request: HttpRequest, user: User, code: str) -> None:
    """Switches the second factor off. Requires a TOTP or recovery code, so that access to an open session
    isn't enough."""
    totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    if totp is None:
        raise Conflict("The second factor is not switched on.", type="no-second-factor")
    _use_code(request, user, code)
    internals.remove_second_factor(request, totp)


def replace_recovery_codes(*, request: HttpRequest, user: User, code: str) -> list[str]:
    if not state_of(user).enabled:
        raise Conflict("There are no recovery codes without a second factor.", type="no-second-factor")
    _use_code(request, user, code)
    with transaction.atomic():
        return _new_codes(user)


def confirm_identity(*, request: HttpRequest, user: User, password: str, code: str) -> None:
    """Confirms the user's identity before a sensitive change. Requires a code if the second factor is on, and
    otherwise the password. If the account has neither a second factor nor a password, the user must have
    logged in recently. Raises Problem if the check fails."""
    if state_of(user).enabled:
        _use_code(request, user, code)
    elif user.has_usable_password():
        confirm_password(request=request, user=user, password=password)
    else:
        logged_in = internals.authenticated_at(request, user)
        if logged_in is None or logged_in < timezone.now() - RECENT:
            raise Problem(
                "You logged in too long ago for this change. Log out, log in again, then repeat the change.",
                status=HTTPStatus.FORBIDDEN,
                type="login-too-old",
            )


def complete_log_in(*, request: HttpRequest, code: str) -> None:
    """Completes the second step of a login. Raises Conflict if the first step is missing or took place too
    long ago."""
    stage = LoginStageController.enter(request, AuthenticateStage.key)
    user = stage.login.user if stage else None
    if not isinstance(user, User) or not user.is_active:
        raise Conflict("No login is waiting for a code. Log in again.", type="no-login-begun")
    internals.record_second_factor(request, _use_code(request, user, code))
    stage.exit()


def reset(*, user: User) -> bool:
    """Switches the second factor off without a code. Returns False if it was off."""
    return bool(Authenticator.objects.filter(user=user).delete()[0])


def _use_code(request: HttpRequest, user: User, code: str) -> Authenticator:
    """Returns the authenticator that accepts the code. Each code works once. Raises Problem for a wrong code,
    or if the authenticators can't be decrypted."""
    given = "".join(code.split())
    judges: dict[str, Callable[[Authenticator], bool]] = {
        Authenticator.Type.TOTP: lambda row: internals.use_totp_code(row, given) and _first_use(user, given),
        Authenticator.Type.RECOVERY_CODES: lambda row: internals.use_recovery_code(row, given),
    }
    rows = list(Authenticator.objects.filter(user=user, type__in=judges))
    readable = [row for row in rows if internals.is_readable(row)]
    if not readable and rows:
        raise _unreadable(user)
    with guessing(request, code_limits(request, user)) as guess:
        for row in readable:
            if judges[row.type](row):
                guess.right = True
                return row
    raise _wrong_code() if readable == rows else _unreadable(user, kept=readable[0])


def _first_use(user: User, code: str) -> bool:
    # allauth remembers a used code for only half a minute, but a code stays valid for longer. The cache
    # therefore remembers a used code for as long as the code can be valid.
    return cache.add(f"second-factor-used:{user.pk}:{code}", True, timeout=CODE_SECONDS)


def _new_codes(user: User) -> list[str]:
    Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).delete()
    return internals.new_recovery_codes(user)


def _unreadable(user: User, kept: Authenticator | None = None) -> Problem:
    """Records that an authenticator can't be decrypted, and returns the Problem to raise. `kept` is the
    user's other authenticator, if it is readable."""
    log.error("The second factor of user %s can't be decrypted.", user.pk)
    record_event(
        user=user, kind=AccountEvent.Kind.SECOND_FACTOR_UNREADABLE, once_in=UNREADABLE_RECORDED_ONCE_IN
    )
    detail = "Your second factor can't be read, because the site's key was changed."
    if kept is not None:
        still = "A recovery code" if kept.type == Authenticator.Type.RECOVERY_CODES else "A code from the app"
        detail = f"This code is wrong, or the stored secret for it can't be read. {still} still works."
    return Problem(
        f"{detail} Ask an administrator to reset your second factor.",
        status=HTTPStatus.CONFLICT,
        type="second-factor-unreadable",
    )


def _wrong_code() -> Problem:
    return Problem(
        "The code is wrong or has already been used.",
        status=HTTPStatus.BAD_REQUEST,
        type="wrong-code",
        errors=[FieldProblem("code", "This code is not valid.")],
    )


def _enabled() -> Conflict:
    return Conflict(
        "The second factor is already on. Switch off the current second factor first.",
        type="second-factor-enabled",
    )
