"""OpenID Connect providers from the environment.

RANKLOOP_OIDC=company
RANKLOOP_OIDC_COMPANY_ISSUER=https://id.example.org/realms/staff
RANKLOOP_OIDC_COMPANY_CLIENT_ID=rankloop
RANKLOOP_OIDC_COMPANY_CLIENT_SECRET=…            (or …_CLIENT_SECRET_FILE)
RANKLOOP_OIDC_COMPANY_NAME=Company account       (on the login page)
RANKLOOP_OIDC_COMPANY_UNKNOWN=refuse             (or create: an account without memberships)
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from config.env import BadEnvironment, env_list, env_secret, env_str

_ID = re.compile(r"[a-z][a-z0-9-]{0,29}")


@dataclass(frozen=True)
class OidcProvider:
    id: str
    name: str
    issuer: str
    client_id: str
    client_secret: str
    creates_accounts: bool

    def for_allauth(self) -> dict[str, Any]:
        return {
            "provider_id": self.id,
            "name": self.name,
            "client_id": self.client_id,
            "secret": self.client_secret,
            "settings": {"server_url": self.issuer.rstrip("/"), "oauth_pkce_enabled": True},
        }


def providers_of_environment() -> tuple[OidcProvider, ...]:
    return tuple(_provider(id) for id in env_list("RANKLOOP_OIDC"))


def _provider(id: str) -> OidcProvider:
    if not _ID.fullmatch(id):
        raise BadEnvironment(
            f"RANKLOOP_OIDC names {id!r}. A provider name must begin with a letter and have"
            " at most 30 characters (a-z, 0-9 and hyphens)."
        )
    prefix = f"RANKLOOP_OIDC_{id.upper().replace('-', '_')}"
    issuer, client_id = env_str(f"{prefix}_ISSUER"), env_str(f"{prefix}_CLIENT_ID")
    for name, value in (("ISSUER", issuer), ("CLIENT_ID", client_id)):
        if not value:
            raise BadEnvironment(f"{prefix}_{name} is missing, but RANKLOOP_OIDC lists the provider {id}.")
    unknown = env_str(f"{prefix}_UNKNOWN", "refuse")
    if unknown not in {"refuse", "create"}:
        raise BadEnvironment(f"{prefix}_UNKNOWN={unknown!r} is invalid; use 'refuse' or 'create'.")
    return OidcProvider(
        id=id,
        name=env_str(f"{prefix}_NAME", id),
        issuer=issuer,
        client_id=client_id,
        client_secret=env_secret(f"{prefix}_CLIENT_SECRET"),
        creates_accounts=unknown == "create",
    )


def unsafe_providers(providers: Sequence[OidcProvider]) -> Iterator[str]:
    for provider in providers:
        parts = urlsplit(provider.issuer)
        if parts.scheme != "https" or not parts.hostname:
            yield (
                f"RANKLOOP_OIDC: the issuer of {provider.id} is {provider.issuer!r}. Use an https"
                " URL: over plain http, attackers on the network can log in as anybody."
            )
