"""The client's address and scheme behind trusted proxies (RANKLOOP_TRUSTED_PROXIES).

Uvicorn's own option, --forwarded-allow-ips, is not used. With "*", uvicorn takes the leftmost address of
X-Forwarded-For, which any client can forge. Uvicorn also passes malformed entries on as client addresses.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_LONGEST_ADDRESS = 60  # an IPv6 address with brackets, a zone and a port


def client_scope(scope: Mapping[str, Any]) -> dict[str, Any]:
    """The scope with the client's address and scheme. X-Forwarded-For and X-Forwarded-Proto are used only if
    the connection comes from a trusted proxy."""
    client = scope.get("client")
    peer = _parsed(str(client[0])) if client else None
    if client is None or peer is None:
        return dict(scope)
    host, scheme = str(peer), scope.get("scheme", "http")
    if _is_trusted(peer):
        host = _forwarded_address(_values(scope, b"x-forwarded-for")) or host
        scheme = _forwarded_scheme(_values(scope, b"x-forwarded-proto")) or scheme
    return {**scope, "client": (host, client[1]), "scheme": scheme}


def _forwarded_address(entries: list[str]) -> str | None:
    """The rightmost entry that is not a trusted proxy's address. Each proxy appends the address of its peer,
    so entries further to the left can be forged. None if this entry is not an address, or if all entries are
    trusted proxies."""
    for entry in reversed(entries):
        address = _parsed(entry)
        if address is None or not _is_trusted(address):
            return None if address is None else str(address)
    return None


def _forwarded_scheme(entries: list[str]) -> str | None:
    """The scheme that the nearest proxy reports. None if the proxy reports neither http nor https."""
    return entries[-1].lower() if entries and entries[-1].lower() in {"http", "https"} else None


def _values(scope: Mapping[str, Any], name: bytes) -> list[str]:
    """The header's entries. A header that is sent several times is one list (RFC 9110, 5.3)."""
    joined = b",".join(value for key, value in scope.get("headers", ()) if key == name)
    return [part.strip() for part in joined.decode("latin-1").split(",")] if joined else []


def _is_trusted(address: Address) -> bool:
    return any(address in network for network in settings.TRUSTED_PROXIES)


def _parsed(text: str) -> Address | None:
    """The address in `text`, with or without a port. None if there is no address."""
    if len(text) > _LONGEST_ADDRESS:
        return None
    host = text
    if text.startswith("["):
        host = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        host = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address
