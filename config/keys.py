"""All uses of SECRET_KEY: what the key encrypts or signs, and how each use survives a change of the key.

Nothing else in this repository reads SECRET_KEY, apart from the settings. A test compares this list with the
source code of the repository and of the installed libraries. Another test rotates the key for each use.
"""

from __future__ import annotations

import base64
import hashlib
from enum import StrEnum
from typing import Final

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.signing import BadSignature, TimestampSigner
from django.utils.crypto import salted_hmac


class Use(StrEnum):
    SECOND_FACTOR = "second factor"
    WEBHOOK_SECRET = "webhook secret"
    SITE_KEY = "site key"
    SESSION = "session"
    RESET_LINK = "reset link"
    KNOWN_DEVICE = "known device"


# Stored values that the current key encrypts. `manage.py reencrypt_secrets` re-encrypts them after a change.
ENCRYPTED: Final = frozenset({Use.SECOND_FACTOR, Use.WEBHOOK_SECRET, Use.SITE_KEY})
# Stored values that the current key signs. `manage.py reencrypt_secrets` signs them with the new key.
SIGNED: Final = frozenset({Use.SESSION})
# Signed values that are not stored, so they can't be signed again with a new key. They must be short-lived,
# or be replaced whenever they are used: a login replaces the cookie of a known device.
EXPIRING: Final = frozenset({Use.RESET_LINK, Use.KNOWN_DEVICE})


class Unreadable(Exception):
    """Raised for a value that neither SECRET_KEY nor a fallback key can decrypt, or that none of these keys
    signed."""


def encrypt(use: Use, text: str) -> str:
    return _cipher(use, settings.SECRET_KEY).encrypt(text.encode()).decode()


def decrypt(use: Use, encrypted: str) -> str:
    """Raises Unreadable if no key decrypts the text."""
    ciphers = MultiFernet(
        [_cipher(use, key) for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)]
    )
    try:
        return ciphers.decrypt(encrypted.encode()).decode()
    except InvalidToken:
        raise Unreadable(f"No key decrypts this {use}.") from None


def reencrypt(use: Use, encrypted: str) -> str:
    """The text encrypted with SECRET_KEY; unchanged if it is already encrypted with SECRET_KEY. Raises
    Unreadable if no key decrypts the text."""
    try:
        _cipher(use, settings.SECRET_KEY).decrypt(encrypted.encode())
    except InvalidToken:
        return encrypt(use, decrypt(use, encrypted))
    return encrypted


def _cipher(use: Use, key: str) -> Fernet:
    # Each use has its own key, so a ciphertext stored for one use can't be decrypted for another. A fast hash
    # is enough, because SECRET_KEY is random. Stored second factors depend on this derivation.
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"rankloop {use} {key}".encode()).digest()))


def session_fingerprint(value: str, *, secret: str | None) -> str:
    """The keyed hash of an account's state. If this hash changes, the account's sessions end. Django also
    computes the hash with each fallback key as `secret`. If `secret` is None, SECRET_KEY is used."""
    salt = "annotation.models.User.get_session_auth_hash"
    return salted_hmac(salt, value, secret=secret, algorithm="sha256").hexdigest()


def is_signed_with_current_key(text: str, *, salt: str) -> bool:
    """Whether SECRET_KEY, and not a fallback key, signed the text. Raises Unreadable if no key signed it."""
    try:
        TimestampSigner(salt=salt, fallback_keys=[]).unsign(text)
    except BadSignature:
        try:
            TimestampSigner(salt=salt).unsign(text)
        except BadSignature:
            raise Unreadable("No key signed this text.") from None
        return False
    return True
