"""Adapters that configure allauth: sign-up is closed, no email is sent, and secrets are encrypted before they
are stored."""

from __future__ import annotations

import ipaddress
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.http import HttpRequest

from config import keys
from config.keys import Use

# A connection over a Unix socket has no client address. All clients of the socket get this address instead,
# so they share one rate limit.
NO_ADDRESS = "0.0.0.0"
IPV6_PREFIX = 64


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        """The address for which attempts are counted: the client's IPv4 address or IPv6 network. One client
        usually has a whole /64 network of IPv6 addresses.

        config/requests/proxies.py has already replaced a trusted proxy's address with the client's. Headers
        such as X-Forwarded-For are not read here, because any client can set them.
        """
        text = str(request.META.get("REMOTE_ADDR") or NO_ADDRESS)
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return NO_ADDRESS
        if address.version == 4:
            return str(address)
        return str(ipaddress.ip_network((address.packed, IPV6_PREFIX), strict=False).network_address)

    def get_login_stages(self) -> list[str]:
        return ["allauth.mfa.stages.AuthenticateStage"]

    def send_mail(self, *args: Any, **kwargs: Any) -> None:
        """Does nothing: Rankloop sends no email."""


class SocialAccountAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]
    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False


class MFAAdapter(DefaultMFAAdapter):  # type: ignore[misc]
    """Encrypts the TOTP secrets, so that a leaked copy of the database can't be used to generate codes.

    Decrypting raises Unreadable if no key decrypts the secret.
    """

    def encrypt(self, text: str) -> str:
        return keys.encrypt(Use.SECOND_FACTOR, text)

    def decrypt(self, encrypted_text: str) -> str:
        return keys.decrypt(Use.SECOND_FACTOR, encrypted_text)
