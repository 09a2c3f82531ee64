"""All imports from allauth's internal modules, which can change in any release.

No other module imports allauth internals, so only this file needs to be checked after an update of allauth.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from allauth.account.internal.flows.login import (
    get_authentication_records,
    perform_login,
    perform_password_login,
    record_authentication,
)
from allauth.account.models import Login
from allauth.core.internal import ratelimit
from allauth.mfa.base.internal.flows import delete_and_cleanup, post_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP, clear_totp_secret, get_totp_secret, validate_totp_code
from allauth.mfa.utils import decrypt
from allauth.socialaccount.internal import statekit
from django.http import HttpRequest

from annotation.models import User
from config.keys import Unreadable

# Email addresses are not verified, because the site's operators create the accounts.
NO_MAIL = "none"
# The session key under which the secret of an unfinished enrolment is stored.
_TOTP_SECRET = "mfa.totp.secret"


class Usage(Protocol):
    def rollback(self) -> None: ...


def use_rate(request: HttpRequest, *, name: str, rate: str, key: str) -> Usage | None:
    """Counts one attempt against the limit `name`. Returns None if the limit has been reached, and otherwise
    an object that can roll the count back."""
    usage: Usage | None = ratelimit.consume(
        request, app="rankloop", action=name, config={name: rate}, key=key, limit_get=True
    )
    return usage


def client_address(request: HttpRequest) -> str:
    return str(ratelimit.get_ip(request))


def log_in_by_password(request: HttpRequest, user: User) -> None:
    """Logs the user in, or starts the second-factor step."""
    login = Login(user=user, email_verification=NO_MAIL)
    perform_password_login(request, {"username": user.username}, login)


def log_in_by(request: HttpRequest, user: User, method: str, **details: str) -> None:
    """Like :func:`log_in_by_password`, but for a user authenticated by `method`."""
    record_authentication(request, user, method=method, **details)
    perform_login(request, Login(user=user, email_verification=NO_MAIL))


def authenticated_at(request: HttpRequest, user: User) -> datetime | None:
    """The time of the user's latest login in this session. None if the time is unknown."""
    times = [float(record["at"]) for record in get_authentication_records(request, user)]
    return datetime.fromtimestamp(max(times), tz=UTC) if times else None


def unstash_state(request: HttpRequest, *, provider_id: str, state_id: str) -> dict[str, Any] | None:
    """Returns the data stored for an OAuth request from this browser. Removes the data from the session, so
    that each `state_id` can be used only once."""
    state: dict[str, Any] | None = statekit.unstash_state(request, provider_id=provider_id, state_id=state_id)
    return state


def begin_totp() -> str:
    """A new TOTP secret, stored in the session."""
    return str(get_totp_secret(regenerate=True))


def begun_totp(request: HttpRequest) -> str | None:
    """The secret of the enrolment started in this session."""
    return None if request.session.get(_TOTP_SECRET) is None else str(get_totp_secret())


def activate_totp(user: User, secret: str) -> None:
    TOTP.activate(user, secret)


def forget_totp(request: HttpRequest) -> None:
    clear_totp_secret(request)


def is_totp_code(secret: str, code: str) -> bool:
    return bool(validate_totp_code(secret, code))


def renewed_data(data: dict[str, Any], renew: Callable[[str], str]) -> dict[str, Any]:
    """The data of an authenticator, with `renew` applied to each encrypted value."""
    changed = dict(data)
    for name in ("secret", "seed"):  # of an authenticator app; of recovery codes
        if name in data:
            changed[name] = renew(data[name])
    if "migrated_codes" in data:
        changed["migrated_codes"] = [renew(code) for code in data["migrated_codes"]]
    return changed


def is_readable(authenticator: Authenticator) -> bool:
    try:
        renewed_data(authenticator.data, decrypt)
    except Unreadable:
        return False
    return True


def use_totp_code(authenticator: Authenticator, code: str) -> bool:
    return bool(TOTP(authenticator).validate_code(code))


def use_recovery_code(authenticator: Authenticator, code: str) -> bool:
    return bool(RecoveryCodes(authenticator).validate_code(code))


def recovery_codes_left(authenticator: Authenticator) -> int:
    return len(RecoveryCodes(authenticator).get_unused_codes())


def new_recovery_codes(user: User) -> list[str]:
    codes: list[str] = RecoveryCodes.activate(user).generate_codes()
    return codes


def record_second_factor(request: HttpRequest, authenticator: Authenticator) -> None:
    post_authentication(request, authenticator)


def remove_second_factor(request: HttpRequest, authenticator: Authenticator) -> None:
    """Removes this authenticator, and also the recovery codes if no other second factor is left."""
    delete_and_cleanup(request, authenticator)
