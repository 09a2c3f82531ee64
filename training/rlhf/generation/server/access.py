"""The operator's settings for generation servers: the key and the folder for adapters.

These values are never part of a recipe, because recipes are stored and shown.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from training.rlhf.generation.server.failures import ServerUnusable

KEY, ADAPTERS = "RANKLOOP_GENERATION_KEY", "RANKLOOP_GENERATION_ADAPTERS"


@dataclass(frozen=True, slots=True)
class Access:
    """`key` is sent to the server as a bearer token. `adapters` is a folder that this process and the server
    share, and `adapters_there` is its path on the server's machine."""

    key: str = field(default="", repr=False)
    adapters: Path | None = None
    adapters_there: str = ""

    @classmethod
    def parsed(cls, key: str, adapters: str) -> Access:
        """Return the access with this key and this folder, which is given as `folder` or `folder:folder on
        the server`. Raises ServerUnusable if the key or the folder is invalid."""
        # The error must not contain the key, because the error is shown on the run's page.
        if not (key.isascii() and key.isprintable()):
            raise ServerUnusable(f"{KEY} must consist of printable ASCII characters")
        here, _, there = adapters.partition(":")
        if here and not Path(here).is_absolute():
            raise ServerUnusable(f"{ADAPTERS} must be an absolute path, not {here!r}")
        return cls(key, Path(here) if here else None, there or here)


_given: Access | None = None


@contextmanager
def granting(access: Access) -> Iterator[None]:
    """Pass `access` to all engines that are created inside the context."""
    global _given
    before, _given = _given, access
    try:
        yield
    finally:
        _given = before


def current_access() -> Access:
    """Return the access that was granted. If none was granted, for example at a Python prompt, return the
    access that the environment variables specify."""
    if _given is not None:
        return _given
    return Access.parsed(os.environ.get(KEY, "").strip(), os.environ.get(ADAPTERS, "").strip())
