"""Writes files and folders so that a crash at any moment leaves either the old or the new version.

Everything is written under a temporary name in the target's folder, synced to disk and renamed. The folder is
then synced. Without the first sync, the content under the new name could be missing or empty after a power
failure. Without the last sync, the content could still have its temporary name after a power failure.
"""

from __future__ import annotations

import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from storage.exchange import exchange
from storage.space import naming_full_disk

_UNFINISHED = ".{name}.partial-"
_OPENED_EXCLUSIVELY = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_ORPHANED_AFTER_SECONDS = 60.0
# The error codes of a rename whose target is a folder with content.
_HAS_CONTENT = {errno.ENOTEMPTY, errno.EEXIST}


@contextmanager
def replacing(target: Path, *, needed: int | None = None) -> Iterator[Path]:
    """Yields a path beside `target` for a new file or folder. At the end of the block, the new file or folder
    takes the place of `target`. If the block raises an exception, the new file or folder is deleted and
    `target` is unchanged.

    Deletes unfinished files and folders that killed processes left for the same target. Two processes must
    therefore not write the same target at the same time. Raises DiskFull if the disk is full; `needed` is the
    number of bytes that the block writes, if known.
    """
    remove_unfinished(target.parent, name=target.name)
    partial = target.with_name(_UNFINISHED.format(name=target.name) + uuid.uuid4().hex[:16])
    try:
        with naming_full_disk(target.parent, needed=needed):
            yield partial
            publish(partial, target)
    finally:
        _remove(partial)


@contextmanager
def new_file(target: Path, *, mode: int = 0o644, needed: int | None = None) -> Iterator[BinaryIO]:
    """Yields a stream whose content takes the place of the file `target` (see `replacing`)."""
    with replacing(target, needed=needed) as partial:
        with open(os.open(partial, _OPENED_EXCLUSIVELY, mode), "wb") as file:
            yield file
        partial.chmod(mode)  # os.open subtracts the umask


def write_text(target: Path, text: str, *, mode: int = 0o644) -> None:
    with new_file(target, mode=mode) as file:
        file.write(text.encode("utf-8"))


def write_once(target: Path, text: str, *, mode: int = 0o600) -> str:
    """Writes the file unless it exists. Returns the file's text. Of several processes that call this function
    at the same time, one writes the file, and all get the same text."""
    if not target.exists():
        remove_unfinished(target.parent, name=target.name, older_than_seconds=_ORPHANED_AFTER_SECONDS)
        partial = target.with_name(_UNFINISHED.format(name=target.name) + uuid.uuid4().hex[:16])
        try:
            with naming_full_disk(target.parent):
                with open(os.open(partial, _OPENED_EXCLUSIVELY, mode), "wb") as file:
                    file.write(text.encode("utf-8"))
                sync(partial)
                with suppress(FileExistsError):
                    os.link(partial, target)
                sync(target.parent)
        finally:
            partial.unlink(missing_ok=True)
    return target.read_text(encoding="utf-8")


def publish(partial: Path, target: Path, *, synced: bool = False) -> None:
    """Renames a complete file or folder to `target`, which must be on the same file system. Replaces an
    existing file or folder. `synced` means that all of the content of `partial` is already on disk."""
    if not synced:
        sync_tree(partial)
    if not _renamed(partial, target):
        _replace_folder(partial, target)
    for folder in {partial.parent, target.parent}:
        sync(folder)


def publish_once(partial: Path, target: Path) -> None:
    """Like `publish`, but if `target` is an existing non-empty folder, that folder is kept. Use this
    function if the folder's name determines its content. Several processes can then write the same folder
    at the same time."""
    sync_tree(partial)
    _renamed(partial, target)
    sync(target.parent)


def _renamed(partial: Path, target: Path) -> bool:
    """Renames `partial`. Returns False if `target` is a non-empty folder, because a rename can't replace such
    a folder."""
    try:
        os.rename(partial, target)
    except OSError as error:
        if error.errno not in _HAS_CONTENT:
            raise
        return False
    return True


def make_folders(folder: Path, *, mode: int = 0o777) -> None:
    """Creates the folder and its missing parents durably. `mode` applies to each new folder."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    with naming_full_disk(folder):
        for each in reversed(missing):
            each.mkdir(mode=mode, exist_ok=True)
            sync(each.parent)


def remove_unfinished(folder: Path, *, name: str = "*", older_than_seconds: float = 0.0) -> None:
    """Deletes unfinished files that killed processes left in the folder, for one target or for all
    targets."""
    newest = time.time() - older_than_seconds
    wanted = name if name == "*" else _literal(name)
    for left in folder.glob(_UNFINISHED.format(name=wanted) + "*"):
        try:
            orphaned = left.lstat().st_mtime <= newest
        except FileNotFoundError:
            continue
        if orphaned:
            _remove(left)


def sync_tree(path: Path) -> None:
    """Syncs a file, or a folder with everything in it. Each folder is synced after its content."""
    if not path.is_dir():
        sync(path)
        return
    for place, _, names in os.walk(path, topdown=False):
        for name in names:
            if not os.path.islink(file := os.path.join(place, name)):  # a symlink is part of its folder
                sync(Path(file))
        sync(Path(place))


def sync(path: Path) -> None:
    """Blocks until the file's content, or the folder's list of names, is on disk and survives a power
    failure."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        # Some network file systems can't sync a folder. They write names to the server immediately.
        if error.errno not in {errno.EINVAL, errno.ENOTSUP} or not path.is_dir():
            raise
    finally:
        os.close(handle)


def _replace_folder(partial: Path, target: Path) -> None:
    """Replaces a folder that has content. A plain rename can't replace such a folder."""
    if exchange(partial, target):
        return
    # Without an exchange, the target is missing for a moment. A process that is killed at that moment leaves
    # both complete versions under other names.
    aside = target.with_name(_UNFINISHED.format(name=target.name) + uuid.uuid4().hex[:16])
    os.rename(target, aside)
    os.rename(partial, target)
    _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _literal(name: str) -> str:
    """The name as a pattern that matches only this name."""
    return "".join(f"[{each}]" if each in "*?[" else each for each in name)
