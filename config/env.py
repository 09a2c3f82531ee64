"""Reads environment variables. An invalid value raises an error with the variable's name and the allowed
values."""

import ipaddress
import os
from pathlib import Path


class BadEnvironment(Exception):
    """Raised for an environment variable whose value Rankloop can't use."""


def env_str(name: str, default: str = "") -> str:
    return os.environ.get(name, default).strip()


def env_positive(name: str, default: int) -> int:
    """A whole number of at least 1. Underscores can separate its digits."""
    text = env_str(name) or str(default)
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise BadEnvironment(f"{name} must be a whole number of at least 1, such as {default}, not {text!r}.")
    return number


def env_limit(name: str, default: int) -> int | None:
    """A whole number of at least 1, or None for the value `unlimited`."""
    return None if env_str(name) == "unlimited" else env_positive(name, default)


def env_list(name: str) -> list[str]:
    return [part.strip() for part in os.environ.get(name, "").split(",") if part.strip()]


def env_secret(name: str) -> str:
    """The value of NAME. If NAME_FILE is set, the value is the content of the file at that path. Secrets are
    usually passed to containers in such files."""
    file_name = os.environ.get(f"{name}_FILE", "").strip()
    if not file_name:
        return env_str(name)
    try:
        return Path(file_name).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise BadEnvironment(f"{name}_FILE={file_name!r} can't be read: {error.strerror}.") from error


def env_secrets(name: str) -> list[str]:
    """The comma-separated values of NAME, or the lines of the file whose path is in NAME_FILE."""
    if not os.environ.get(f"{name}_FILE", "").strip():
        return env_list(name)
    return [line.strip() for line in env_secret(name).splitlines() if line.strip()]


def env_networks(name: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(part) for part in env_list(name)]
    except ValueError as error:
        raise BadEnvironment(
            f"{name} must be a comma-separated list of networks, such as 10.1.0.0/16: {error}."
        ) from None
