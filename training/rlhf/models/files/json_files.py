"""Read a model's JSON files. Users supply these files, so they can be damaged, very large or hostile.

Every error that such a file can cause becomes BrokenFile, which names the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from training.rlhf.core.failures import RunFailure

MAX_BYTES = 10_000_000  # settings and indexes; the largest known index takes 8 MB
MAX_TOKENIZER_BYTES = 100_000_000  # the largest known tokenizer.json takes 35 MB
# Deep nesting raises RecursionError. An infinite number raises OverflowError where an integer is expected.
READING_ERRORS = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


class BrokenFile(ValueError):
    """Raised if a file can't be read. The message names the file and the reason."""


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Inside the context, raise BrokenFile for errors in reading a file or in using the file's contents."""
    try:
        yield
    except (BrokenFile, RunFailure):
        raise
    except READING_ERRORS as error:
        raise BrokenFile(f"{name} can't be read: {_reason(error)}") from error


def object_in(file: Path, *, max_bytes: int = MAX_BYTES) -> dict[str, Any]:
    """Return the JSON object in a file. Raises BrokenFile."""
    with reading(file.name):
        found = json.loads(text_in(file, max_bytes=max_bytes))
    if not isinstance(found, dict):
        raise BrokenFile(f"{file.name} is not a JSON object")
    return found


def text_in(file: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Return a file's text. Raises BrokenFile."""
    with reading(file.name):
        with file.open("rb") as stream:
            written = stream.read(max_bytes + 1)
        if len(written) > max_bytes:
            raise BrokenFile(f"{file.name} is larger than {max_bytes // 1_000_000} MB")
        return written.decode()


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, (OSError, UnicodeDecodeError, json.JSONDecodeError)):
        return str(error)
    return repr(error)[:200]
