"""Changes SECRET_KEY as an operator does."""

from __future__ import annotations

import secrets

from pytest_django.fixtures import Settings


def change_key(settings: Settings, *, fallback: bool) -> str:
    """Sets a new key. Returns the old key, which becomes a fallback if `fallback` is true."""
    old, settings.SECRET_KEY = settings.SECRET_KEY, secrets.token_urlsafe(48)
    settings.SECRET_KEY_FALLBACKS = [old] if fallback else []
    return str(old)
