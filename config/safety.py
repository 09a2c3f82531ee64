"""Rejects unsafe values when RANKLOOP_ENV is production. All unsafe values are reported together."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from config.oidc import OidcProvider, unsafe_providers

_SHORTEST_SECRET_CHARACTERS = 40
_FEWEST_DIFFERENT_CHARACTERS = 10
_EXAMPLE_WORDS = ("change", "secret-key", "insecure", "example", "password")
_WELL_KNOWN_PASSWORDS = {"password", "postgres", "rankloop", "valkey", "redis", "changeme", "secret", "admin"}
# Under `.co.uk` and similar suffixes, anybody can register a domain.
_REGISTRY_LABELS = {"ac", "co", "com", "edu", "gob", "gov", "go", "mil", "ne", "net", "or", "org"}
# Cloud providers serve credentials at link-local addresses.
_LINK_LOCAL = (ipaddress.ip_network("169.254.0.0/16"), ipaddress.ip_network("fe80::/10"))

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def unsafe(
    *,
    secret_key: str,
    allowed_hosts: Sequence[str],
    csrf_trusted_origins: Sequence[str],
    database_url: str,
    broker_url: str,
    secret_key_fallbacks: Sequence[str] = (),
    trusted_proxies: Sequence[Network] = (),
    webhook_networks: Sequence[Network] = (),
    oidc_providers: Sequence[OidcProvider] = (),
) -> Iterator[str]:
    """For each unsafe value, yields a message that names the variable and the remedy."""
    if not secret_key:
        yield "SECRET_KEY is missing. The key protects all logins. Create one: openssl rand -base64 48"
    elif reason := _weakness(secret_key):
        yield f"SECRET_KEY {reason} Create a new key: openssl rand -base64 48"
    for number, key in enumerate(secret_key_fallbacks, start=1):
        if reason := _weakness(key):
            yield (
                f"SECRET_KEY_FALLBACKS: key {number} {reason} A fallback key is as powerful as SECRET_KEY."
                " Remove this key."
            )
    yield from _unsafe_hosts(allowed_hosts)
    yield from _unsafe_origins(csrf_trusted_origins)
    if not database_url:
        yield "DATABASE_URL is missing: production needs a server with backups, not the embedded Postgres."
    else:
        yield from _unsafe_login("DATABASE_URL", database_url, is_open=False)
    if not broker_url:
        yield "BROKER_URL is missing: production needs a Valkey server shared by the web and worker machines."
    else:
        yield from _unsafe_login("BROKER_URL", broker_url, is_open=_is_loopback(urlsplit(broker_url)))
    for network in trusted_proxies:
        if network.prefixlen == 0:
            yield (
                f"RANKLOOP_TRUSTED_PROXIES contains {network}, so forwarding headers from any client"
                " would be trusted. List only the addresses of your proxies."
            )
    for network in webhook_networks:
        if network.prefixlen == 0 or any(_overlap(network, private) for private in _LINK_LOCAL):
            yield (
                f"RANKLOOP_WEBHOOK_NETWORKS contains {network}, which includes link-local"
                " addresses. Managers could read a cloud provider's credentials. List only the networks of"
                " your receivers."
            )
    yield from unsafe_providers(oidc_providers)


def _weakness(key: str) -> str:
    """The reason why the key is weak; empty if the key is strong."""
    if len(key) < _SHORTEST_SECRET_CHARACTERS or len(set(key)) < _FEWEST_DIFFERENT_CHARACTERS:
        return f"can be guessed: it needs at least {_SHORTEST_SECRET_CHARACTERS} random characters."
    if any(word in key.lower() for word in _EXAMPLE_WORDS):
        return "is an example value."
    return ""


def _unsafe_hosts(hosts: Sequence[str]) -> Iterator[str]:
    if not hosts:
        yield "ALLOWED_HOSTS is missing. List the host names that users open, separated by commas."
    for host in hosts:
        if "*" in host or host == ".":
            yield f"ALLOWED_HOSTS contains {host!r}, which accepts any host name. List each host by name."
        elif host.startswith(".") and _is_public_suffix(host):
            yield (
                f"ALLOWED_HOSTS contains {host!r}, which accepts every domain below {host}. List each host"
                " by name."
            )


def _is_public_suffix(host: str) -> bool:
    labels = [label for label in host.lower().split(".") if label]
    if len(labels) < 2:
        return True
    return len(labels) == 2 and labels[0] in _REGISTRY_LABELS and len(labels[1]) == 2


def _unsafe_origins(origins: Sequence[str]) -> Iterator[str]:
    for origin in origins:
        parts = urlsplit(origin)
        if "*" in origin or not parts.hostname:
            yield (
                f"CSRF_TRUSTED_ORIGINS contains {origin!r}; use full origins such as"
                " https://rank.example.org."
            )
        elif parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1"}:
            yield (
                f"CSRF_TRUSTED_ORIGINS contains {origin!r}. Use https. Others can read passwords that are"
                " sent over plain http."
            )


def _unsafe_login(variable: str, url: str, *, is_open: bool) -> Iterator[str]:
    """The faults of the password in a server's URL. No password is needed if the server requires none
    (`is_open`) or is reached through a Unix socket."""
    parts = urlsplit(url)
    query = parse_qs(parts.query)
    is_socket = (
        "socket" in parts.scheme
        or unquote(parts.hostname or "").startswith("/")
        or query.get("host", [""])[-1].startswith("/")
        or (not parts.hostname and "host" not in query)
    )
    if is_socket or is_open or {"passfile", "sslcert"} & set(query):
        return
    password = unquote(parts.password or query.get("password", [""])[-1])
    if not password:
        yield (
            f"{variable} has no password, so anybody who reaches the server can use it. Set a password on the"
            " server and add it to the URL."
        )
    elif password.lower() in _WELL_KNOWN_PASSWORDS or password == unquote(parts.username or ""):
        yield f"{variable} has a password that can be guessed. Create a random password: openssl rand -hex 24"


def _is_loopback(parts: SplitResult) -> bool:
    try:
        return parts.hostname == "localhost" or ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False


def _overlap(one: Network, other: Network) -> bool:
    return one.version == other.version and one.overlaps(other)
