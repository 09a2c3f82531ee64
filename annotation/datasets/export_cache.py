"""Caches converted exports, so that a repeated download does not convert the snapshot again.

A snapshot never changes, so an export is identified by the snapshot's hash, the format, the options and the
code. The exports are files in the state folder. When the total size of the files exceeds
RANKLOOP_EXPORT_CACHE_BYTES, the least recently used files are removed.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from django.conf import settings

import preferences
from annotation import datasets
from annotation.datasets.exports import PARQUET, export_snapshot
from annotation.models import DatasetSnapshot
from annotation.oversight.report_cache import code_version
from preferences.formats.export_format import CHUNK_BYTES
from storage import durable

logger = logging.getLogger(__name__)
UNFINISHED = ".unfinished"
# Age at which an unfinished file is removed. No conversion takes this long, so the process that wrote the
# file was killed.
ABANDONED_SECONDS = 24 * 3600


def kept_export(*, snapshot: DatasetSnapshot, format: str, options: Mapping[str, str]) -> Iterator[bytes]:
    """Like :func:`export_snapshot`, but reads the stored file if this export has been converted before."""
    if format == PARQUET:  # the snapshot's own format needs no conversion
        return export_snapshot(snapshot=snapshot, format=format, options=options)
    identity = repr(
        (snapshot.pk, snapshot.sha256, format, sorted(options.items()), code_version(datasets, preferences))
    )
    path = Path(settings.EXPORT_CACHE) / hashlib.sha256(identity.encode()).hexdigest()
    try:
        file = path.open("rb")
    except OSError:
        return _keeping(export_snapshot(snapshot=snapshot, format=format, options=options), path)
    with suppress(OSError):
        os.utime(path)  # marks the file as recently used
    return _chunks(file)


def export_checksum(
    *, snapshot: DatasetSnapshot, format: str, options: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """The size and SHA-256 of the export's bytes. Converts and stores the export if it isn't stored yet."""
    digest, size = hashlib.sha256(), 0
    for chunk in kept_export(snapshot=snapshot, format=format, options=options or {}):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    with file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _keeping(chunks: Iterator[bytes], path: Path) -> Iterator[bytes]:
    """Yields the chunks and stores them. If they can't be stored, the export itself still succeeds."""
    copy = _Copy(path)
    try:
        for chunk in chunks:
            copy.write(chunk)
            yield chunk
        copy.finish()
    finally:
        copy.discard()


class _Copy:
    """A file that gets the name `path` only when it is complete."""

    def __init__(self, path: Path) -> None:
        self._path, self._size = path, 0
        self._file: BinaryIO | None = None
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(dir=path.parent, suffix=UNFINISHED, delete=False)  # type: ignore[assignment]  # noqa: SIM115
        except OSError as error:
            self._give_up(error)

    def write(self, chunk: bytes) -> None:
        self._size += len(chunk)
        if self._size > settings.EXPORT_CACHE_BYTES:
            self.discard()
        if self._file is None:
            return
        try:
            self._file.write(chunk)
        except OSError as error:
            self._give_up(error)

    def finish(self) -> None:
        if self._file is None:
            return
        try:
            self._file.close()
            # Without a sync, a power failure could leave an incomplete file, which would be served as if it
            # were complete.
            durable.publish(Path(self._file.name), self._path)
            self._file = None
            _evict(self._path.parent)
        except OSError as error:
            self._give_up(error)

    def discard(self) -> None:
        """Removes the unfinished file, if there is one."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            with suppress(OSError):
                os.unlink(self._file.name)
            self._file = None

    def _give_up(self, error: OSError) -> None:
        logger.warning("An export could not be kept for later downloads: %s", error)
        self.discard()


def _evict(folder: Path) -> None:
    """Removes abandoned files. If the complete files exceed the size limit, also removes the least recently
    used of these files."""
    found = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process may have removed the file in the meantime
            state = path.stat()
            if path.suffix != UNFINISHED:
                found.append((state.st_mtime, state.st_size, path))
            elif state.st_mtime < time.time() - ABANDONED_SECONDS:
                path.unlink()
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > settings.EXPORT_CACHE_BYTES:
            path.unlink(missing_ok=True)
