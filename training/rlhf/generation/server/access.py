"""What the operator of an installation sets for generation servers: the key and the folder for adapters.

These values are read from the environment. They are never part of a recipe, because recipes are stored and
shown.
"""

from __future__ import annotations

import os
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
    def of_environment(cls) -> Access:
        """Read the key from RANKLOOP_GENERATION_KEY, or from the file in RANKLOOP_GENERATION_KEY_FILE. Read
        the folder from RANKLOOP_GENERATION_ADAPTERS, as `folder` or `folder:folder on the server`. Raises
        ServerUnusable."""
        here, _, there = os.environ.get(ADAPTERS, "").strip().partition(":")
        if here and not Path(here).is_absolute():
            raise ServerUnusable(f"{ADAPTERS} must be an absolute path, not {here!r}")
        return cls(_key(), Path(here) if here else None, there or here)


def _key() -> str:
    key, file = os.environ.get(KEY, "").strip(), os.environ.get(f"{KEY}_FILE", "").strip()
    if file:
        try:
            key = Path(file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ServerUnusable(f"{KEY}_FILE={file!r} can't be read: {type(error).__name__}") from None
    # The error must not contain the key, because it is shown on the run's page.
    if not key.isascii() or not key.isprintable():
        raise ServerUnusable(f"{KEY} must consist of printable ASCII characters")
    return key
