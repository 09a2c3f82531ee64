"""Tracebacks without values: the stack of each exception in the chain, and the safe part of its message."""

from __future__ import annotations

import traceback
from collections.abc import Iterator

from config.logs.messages import safe_message

# Docker splits lines of more than 16 KiB. The first frames show where the work began, and the last frames
# show where it failed.
_MAX_CHARACTERS = 14_000
_FIRST_FRAMES, _LAST_FRAMES = 5, 40

_CAUSED = "The above exception was the direct cause of the following exception:"
_DURING = "During handling of the above exception, another exception occurred:"


def chain(error: BaseException) -> Iterator[tuple[BaseException, str]]:
    """Yields the exceptions of the chain, newest first. Each exception is yielded with a sentence that
    relates it to the exception yielded before it."""
    seen: set[int] = set()
    current: BaseException | None = error
    relation = ""
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current, relation
        if current.__cause__ is not None:
            current, relation = current.__cause__, _CAUSED
        elif not current.__suppress_context__:
            current, relation = current.__context__, _DURING
        else:
            current = None


def render(error: BaseException) -> str:
    parts = []
    for each, relation in reversed(list(chain(error))):
        parts += [_one(each), *([f"\n{relation}\n"] if relation else [])]
    text = "\n".join(parts)
    # The end, which contains the unhandled exception, is kept.
    return text if len(text) <= _MAX_CHARACTERS else "…\n" + text[-_MAX_CHARACTERS:]


def _one(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    left_out = len(frames) - _FIRST_FRAMES - _LAST_FRAMES
    shown = traceback.format_list(frames[:_FIRST_FRAMES] if left_out > 0 else frames)
    if left_out > 0:
        shown += [f"  … {left_out} frames …\n", *traceback.format_list(frames[-_LAST_FRAMES:])]
    lines = ["Traceback (most recent call last):", *(one.rstrip("\n") for one in shown), title(error)]
    if isinstance(error, BaseExceptionGroup):
        lines += [f"  in the group:\n{_one(inner)}" for inner in error.exceptions]
    return "\n".join(lines)


def title(error: BaseException) -> str:
    kind, message = type(error), safe_message(error)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{name}: {message}" if message else name
