"""Reports a full disk with the folder, the free space and the remedy."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EDQUOT}
# Libraries that are not written in Python report a full disk with their own exceptions, for example
# SafetensorError: "I/O error: No space left on device (os error 28)".
_MESSAGE = re.compile(r"no space left on device|disk quota exceeded", re.IGNORECASE)


class DiskFull(OSError):
    """Raised if a file can't be written because its file system is full or a disk quota is used up."""

    def __init__(self, folder: Path, *, needed: int | None = None, quota: bool = False) -> None:
        super().__init__(errno.EDQUOT if quota else errno.ENOSPC, "No space left on device")
        self.folder = folder
        self.detail = _detail(folder, needed, quota)

    def __str__(self) -> str:
        return self.detail


def is_full(error: BaseException | None) -> bool:
    """Whether the exception, or one of its causes, reports that a disk on this machine is full. A full disk
    on a database server does not count."""
    causes = []
    while error is not None:
        causes.append(error)
        error = error.__cause__
    if any(hasattr(each, "sqlstate") for each in causes):
        return False
    return any(
        (isinstance(each, OSError) and each.errno in FULL) or _MESSAGE.search(str(each)) for each in causes
    )


@contextmanager
def naming_full_disk(folder: Path, *, needed: int | None = None) -> Iterator[None]:
    """Replaces any error that reports a full disk with DiskFull, which names the folder. `needed` is the
    number of bytes to write, if known."""
    try:
        yield
    except DiskFull:
        raise
    except Exception as error:
        if not is_full(error):
            raise
        quota = isinstance(error, OSError) and error.errno == errno.EDQUOT
        raise DiskFull(folder, needed=needed, quota=quota) from error


def require_space(folder: Path, needed: int) -> None:
    """Raises DiskFull if the folder's file system has less free space than `needed` bytes. Without this
    check, a large write would fill the disk before it failed, and other programs could then no longer write
    to the disk."""
    if free_bytes(folder) < needed:
        raise DiskFull(folder, needed=needed)


def free_bytes(folder: Path) -> int:
    """The number of bytes that users other than root can still write to the folder's file system. If the
    folder doesn't exist yet, its nearest existing parent is used."""
    found = os.statvfs(_existing(folder))
    return found.f_bavail * found.f_frsize


def size_text(size: int) -> str:
    """The size with a unit that keeps the number short, such as 1.5 GB."""
    number, units = float(size), iter(("bytes", "kB", "MB", "GB", "TB"))
    unit = next(units)
    while number >= 1000 and unit != "TB":
        number, unit = number / 1000, next(units)
    return f"{number:.0f} {unit}" if unit == "bytes" else f"{number:.1f} {unit}"


def _detail(folder: Path, needed: int | None, quota: bool) -> str:
    place = _existing(folder)
    mount = next(each for each in (place, *place.parents) if os.path.ismount(each))
    found = os.statvfs(place)
    inodes = " and no free inodes" if found.f_files and not found.f_favail else ""
    free = f"{size_text(found.f_bavail * found.f_frsize)} free{inodes}"
    wanted = f", but {size_text(needed)} are needed" if needed is not None else ""
    if quota:
        return (
            f"The disk quota for {folder} is used up (file system {mount}: {free}{wanted})."
            " Delete files there or raise the quota, then try again."
        )
    return (
        f"The disk is full: the file system {mount}, which contains {folder}, has {free}{wanted}."
        " Free space there or enlarge the file system, then try again."
    )


def _existing(folder: Path) -> Path:
    place = folder.absolute()
    return next(each for each in (place, *place.parents) if each.exists())
