"""Rejects unsafe values when RANKLOOP_ENV is production. All unsafe values are reported at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from config.oidc import OidcProvider, unsafe_providers

_SHORTEST_SECRET_CHARACTERS = 40
_FEWEST_DIFFERENT_CHARACTERS = 10
_EXAMPLE_WORDS = ("change", "secret-key", "insecure", "example", "password")


def unsafe(
    *,
    secret_key: str,
    allowed_hosts: Sequence[str],
    csrf_trusted_origins: Sequence[str],
    database_url: str,
    broker_url: str,
    oidc_providers: Sequence[OidcProvider] = (),
) -> Iterator[str]:
    """For each unsafe value, yields a message that names the variable and the remedy."""
    if not secret_key:
        yield "SECRET_KEY is missing. The key protects all logins. Create one: openssl rand -base64 48"
    elif len(secret_key) < _SHORTEST_SECRET_CHARACTERS or len(set(secret_key)) < _FEWEST_DIFFERENT_CHARACTERS:
        yield f"SECRET_KEY can be guessed: it needs at least {_SHORTEST_SECRET_CHARACTERS} random characters."
    elif any(word in secret_key.lower() for word in _EXAMPLE_WORDS):
        yield "SECRET_KEY is an example value. Create one: openssl rand -base64 48"
    if not allowed_hosts:
        yield "ALLOWED_HOSTS is missing. List the host names that users open, separated by commas."
    for host in allowed_hosts:
        if "*" in host or host == ".":
            yield f"ALLOWED_HOSTS has {host!r}, which accepts any host name. List each host by name."
    for origin in csrf_trusted_origins:
        parts = urlsplit(origin)
        if "*" in origin or not parts.hostname:
            yield f"CSRF_TRUSTED_ORIGINS has {origin!r}; use full origins such as https://rank.example.org."
        elif parts.scheme != "https" and parts.hostname not in {"localhost", "127.0.0.1"}:
            yield (
                f"CSRF_TRUSTED_ORIGINS has {origin!r}. Use https. Passwords that are sent over plain http can"
                " be read by others."
            )
    if not database_url:
        yield "DATABASE_URL is missing: production needs a server with backups, not the embedded Postgres."
    if not broker_url:
        yield "BROKER_URL is missing: production needs a Valkey server shared by the web and worker machines."
    yield from unsafe_providers(oidc_providers)
