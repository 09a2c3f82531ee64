"""SHA-256 of stored files, verified when the files are read."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

Manifest = dict[str, dict[str, Any]]
"""The files of a folder: relative path → {"bytes": size, "sha256": digest}."""

# A version of a file is recognised by its device, inode, size and times. A program can set the modification
# time, but not the change time. The digest of a file is remembered only if the file has not changed within
# the last _SETTLED_SECONDS: a second change within one tick of the kernel's clock (up to 10 ms) would leave
# both times unchanged.
_SETTLED_SECONDS = 0.1
_KEPT = 10_000
_BLOCK_BYTES = 1 << 20
_known: dict[tuple[int, ...], str] = {}


class FileChanged(Exception):
    """Raised if a file has changed since it was stored. `what` names the file, for example "The file of this
    import"."""

    def __init__(self, what: str, *, expected: str, found: str) -> None:
        super().__init__(f"{what} has changed since it was stored: expected {expected}, found {found}.")


def sha256_of(path: Path) -> str:
    """The file's SHA-256. The digest of each version of a file is remembered, because hashing takes about a
    second per gigabyte, and launches, exports and pages often use the digest of the same version."""
    with path.open("rb") as file:
        before = os.fstat(file.fileno())
        version = before.st_dev, before.st_ino, before.st_mtime_ns, before.st_ctime_ns, before.st_size
        if (found := _known.get(version)) is not None:
            return found
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        after = os.fstat(file.fileno())
    settled = time.time() - max(before.st_mtime, before.st_ctime) > _SETTLED_SECONDS
    if settled and (after.st_mtime_ns, after.st_ctime_ns) == (before.st_mtime_ns, before.st_ctime_ns):
        if len(_known) >= _KEPT:
            _known.clear()
        _known[version] = digest
    return digest


def copy_hashed(source: BinaryIO, target: BinaryIO) -> str:
    """Copies the rest of the stream. Returns the SHA-256 of the copied bytes."""
    digest = hashlib.sha256()
    while block := source.read(_BLOCK_BYTES):
        digest.update(block)
        target.write(block)
    return digest.hexdigest()


def verify_file(path: Path, *, sha256: str, what: str) -> None:
    """Raises FileChanged unless the file has this SHA-256."""
    found = sha256_of(path)
    if found != sha256:
        raise FileChanged(what, expected=f"SHA-256 {sha256}", found=found)


def manifest_of(folder: Path) -> Manifest:
    """The size and SHA-256 of every file in the folder and its subfolders. Hidden files are left out, because
    file managers and network file systems create them."""
    return {
        name: {"bytes": (folder / name).stat().st_size, "sha256": sha256_of(folder / name)}
        for name in _names(folder)
    }


def verify_folder(
    folder: Path,
    manifest: Mapping[str, Mapping[str, Any]],
    *,
    what: str,
    only: Collection[str] | None = None,
    sizes_only: bool = False,
) -> None:
    """Raises FileChanged unless the folder has exactly the files of the manifest, unchanged.

    An added file counts as a change, because a loader selects files by their names. With `only`, only the
    files with these names are checked. With `sizes_only`, the content is not read.
    """
    found = set(_names(folder)) if only is None else {name for name in only if (folder / name).is_file()}
    wanted = set(manifest) if only is None else set(only) & set(manifest)
    for name in sorted(found | wanted):
        file = f"The file {name} of {what}"
        if name not in wanted:
            raise FileChanged(file, expected="no such file", found="a file that was added later")
        if name not in found:
            raise FileChanged(file, expected=f"SHA-256 {manifest[name]['sha256']}", found="no file")
        size = (folder / name).stat().st_size
        if size != manifest[name]["bytes"]:
            raise FileChanged(file, expected=f"{manifest[name]['bytes']} bytes", found=f"{size} bytes")
        if not sizes_only:
            verify_file(folder / name, sha256=manifest[name]["sha256"], what=file)


def _names(folder: Path) -> list[str]:
    return sorted(
        str(path.relative_to(folder))
        for path in folder.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
