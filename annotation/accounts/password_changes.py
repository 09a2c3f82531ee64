"""The effects of a password change, regardless of the page or command that made the change."""

from __future__ import annotations

from annotation.accounts.login.limits import open_to_new_devices
from annotation.accounts.tokens import revoke_all_tokens
from annotation.models import User


class PasswordChanges:
    """A password validator that accepts every password. Django calls `password_changed` of each validator in
    AUTH_PASSWORD_VALIDATORS after it has stored a new password."""

    def validate(self, password: str, user: User | None = None) -> None:
        pass

    def get_help_text(self) -> str:
        return ""

    def password_changed(self, password: str, user: User) -> None:
        revoke_all_tokens(user=user)
        open_to_new_devices(user.username)
