"""Wraps the real system calls and records what a program syncs and renames."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from storage import durable

_UNFINISHED = ".partial-"


class Witness:
    """`missing` lists each file or folder that was not synced before it got its final name, and each folder
    that was not synced after its entries changed."""

    def __init__(self) -> None:
        self.missing: list[str] = []
        self.named: list[Path] = []
        self._synced: dict[tuple[int, int], tuple[int, int]] = {}
        self._changed: set[Path] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patched:
            for function in ("rename", "replace", "link"):
                patched.setattr(os, function, self._naming(getattr(os, function)))
            patched.setattr(durable, "exchange", self._naming(durable.exchange))
            patched.setattr(os, "fsync", self._syncing(os.fsync))
            yield
        self.missing += [f"{folder} was not synced after a rename" for folder in sorted(self._changed)]

    def _syncing(self, real: Callable[[int], None]) -> Callable[[int], None]:
        def fsync(handle: int) -> None:
            real(handle)
            found = os.fstat(handle)
            self._synced[found.st_dev, found.st_ino] = found.st_mtime_ns, found.st_size
            if stat.S_ISDIR(found.st_mode):
                self._changed.discard(Path(os.readlink(f"/proc/self/fd/{handle}")))

        return fsync

    def _naming(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def name(source: Any, target: Any, *rest: Any, **options: Any) -> Any:
            if _UNFINISHED in str(target):  # a file in an unfinished folder, which is synced later
                return real(source, target, *rest, **options)
            for path in _all(Path(source)):
                found = path.stat()
                if self._synced.get((found.st_dev, found.st_ino)) != (found.st_mtime_ns, found.st_size):
                    self.missing.append(f"{path} was not synced before it was named {target}")
            result = real(source, target, *rest, **options)
            self.named.append(Path(target))
            self._changed |= {Path(source).resolve().parent, Path(target).resolve().parent}
            return result

        return name


def _all(path: Path) -> list[Path]:
    return [path, *(each for each in path.rglob("*") if not each.is_symlink())]
