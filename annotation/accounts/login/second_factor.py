"""The optional second factor: codes of an authenticator app (TOTP); recovery codes for when it is lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from allauth.account.stages import LoginStageController
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.internal.flows import delete_and_cleanup, post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.stages import AuthenticateStage
from allauth.mfa.totp.internal.auth import TOTP, clear_totp_secret, get_totp_secret, validate_totp_code
from django.core.cache import cache
from django.db import IntegrityError, transaction
from django.http import HttpRequest

from annotation.accounts.login.limits import code_limits, guessing
from annotation.accounts.login.passwords import confirm_password
from annotation.models import User
from config.problems import Conflict, FieldProblem, Problem

# A code is right for its own half minute and, clocks differing, the one before and after.
CODE_SECONDS = 90


@dataclass(frozen=True)
class Enrolment:
    secret: str
    uri: str
    """`otpauth://…`, what the QR code says."""
    qr_svg: str


@dataclass(frozen=True)
class State:
    enabled: bool
    recovery_codes_left: int


def state_of(user: User) -> State:
    mine = {each.type: each for each in Authenticator.objects.filter(user=user)}
    codes = mine.get(Authenticator.Type.RECOVERY_CODES)
    left = len(RecoveryCodes(codes).get_unused_codes()) if codes else 0
    return State(enabled=Authenticator.Type.TOTP in mine, recovery_codes_left=left)


def begin_enrolment(*, request: HttpRequest, user: User, password: str) -> Enrolment:
    """A new secret, kept in the session until a first code shows that the app has it."""
    confirm_password(request=request, user=user, password=password)
    if state_of(user).enabled:
        raise _enabled()
    secret = get_totp_secret(regenerate=True)
    uri = get_adapter().build_totp_url(user, secret)
    return Enrolment(secret=secret, uri=uri, qr_svg=get_adapter().build_totp_svg(uri))


def confirm_enrolment(*, request: HttpRequest, user: User, code: str) -> list[str]:
    """The second factor is on; the recovery codes, the only time that they can be seen."""
    if request.session.get("mfa.totp.secret") is None:
        raise Conflict("No enrolment has begun, or its session ended. Begin again.", type="no-enrolment")
    secret = get_totp_secret()
    with guessing(request, code_limits(user.pk)) as guess:
        guess.right = validate_totp_code(secret, code)
    if not guess.right:
        raise _wrong_code()
    try:
        with transaction.atomic():
            TOTP.activate(user, secret)
            codes = _new_codes(user)
    except IntegrityError:
        raise _enabled() from None
    clear_totp_secret(request)
    return codes


def disable(*, request: HttpRequest, user: User, code: str) -> None:
    """With a code of either kind, so that a borrowed session can't."""
    totp = Authenticator.objects.filter(user=user, type=Authenticator.Type.TOTP).first()
    if totp is None:
        raise Conflict("There is no second factor to switch off.", type="no-second-factor")
    _use_code(request, user, code)
    delete_and_cleanup(request, totp)


def replace_recovery_codes(*, request: HttpRequest, user: User, code: str) -> list[str]:
    if not state_of(user).enabled:
        raise Conflict("Without a second factor there are no recovery codes.", type="no-second-factor")
    _use_code(request, user, code)
    with transaction.atomic():
        return _new_codes(user)


def complete_log_in(*, request: HttpRequest, code: str) -> None:
    """The second step. Raises Conflict where no first one was made (or it was too long ago)."""
    stage = LoginStageController.enter(request, AuthenticateStage.key)
    user = stage.login.user if stage else None
    if not isinstance(user, User) or not user.is_active:
        raise Conflict("No log-in waits for a code. Log in again.", type="no-login-begun")
    post_authentication(request, _use_code(request, user, code))
    stage.exit()


def _use_code(request: HttpRequest, user: User, code: str) -> Authenticator:
    """The authenticator that the code is of. A code is good once."""
    given = "".join(code.split())
    judges: dict[str, Callable[[Authenticator], bool]] = {
        Authenticator.Type.TOTP: lambda row: bool(TOTP(row).validate_code(given)) and _first_use(user, given),
        Authenticator.Type.RECOVERY_CODES: lambda row: bool(RecoveryCodes(row).validate_code(given)),
    }
    with guessing(request, code_limits(user.pk)) as guess:
        for row in Authenticator.objects.filter(user=user, type__in=judges):
            if judges[row.type](row):
                guess.right = True
                return row
    raise _wrong_code()


def _first_use(user: User, code: str) -> bool:
    # allauth's own memory of used codes ends with their half minute, before they do.
    return cache.add(f"second-factor-used:{user.pk}:{code}", True, timeout=CODE_SECONDS)


def _new_codes(user: User) -> list[str]:
    Authenticator.objects.filter(user=user, type=Authenticator.Type.RECOVERY_CODES).delete()
    codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return codes


def _wrong_code() -> Problem:
    return Problem(
        "The code is wrong, or was used before.",
        status=HTTPStatus.BAD_REQUEST,
        type="wrong-code",
        errors=[FieldProblem("code", "This is no code that is right now.")],
    )


def _enabled() -> Conflict:
    return Conflict("The second factor is on already. Switch it off first.", type="second-factor-enabled")
