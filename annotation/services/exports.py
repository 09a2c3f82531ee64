"""A snapshot as a file of another format, made while it is read."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from annotation.formats.catalog import EXPORT_FORMATS
from annotation.formats.snapshot_parquet import read_rankings
from annotation.models import DatasetSnapshot
from annotation.services.snapshots import file_sha256, snapshot_path
from config.problems import FieldProblem, Problem

PARQUET = "parquet"
FORMAT_NAMES = (*EXPORT_FORMATS, PARQUET)
CHUNK_BYTES = 256 * 1024


def export_snapshot(*, snapshot: DatasetSnapshot, format: str) -> Iterator[bytes]:
    """The bytes of the export, in chunks. The same snapshot and format give the same bytes every time.

    Raises Problem, before the first byte, when the format is unknown or the file is gone or damaged.
    """
    check_format(format)
    path = snapshot_path(snapshot)
    if file_sha256(path) != snapshot.sha256:
        raise Problem(
            f"The file of snapshot {snapshot.name} ({snapshot.path} in the artefacts folder) is not the one"
            " that was frozen: its SHA-256 differs. Restore it from a backup.",
            type="snapshot-file-damaged",
            status=500,
        )
    if format == PARQUET:
        return _file_chunks(str(path))
    return _in_chunks(EXPORT_FORMATS[format].write(read_rankings(path), snapshot.card))


def export_checksum(*, snapshot: DatasetSnapshot, format: str) -> str:
    """SHA-256 of the export's bytes; for formats other than the file itself this makes the export once."""
    if format == PARQUET:
        return snapshot.sha256
    digest = hashlib.sha256()
    for chunk in export_snapshot(snapshot=snapshot, format=format):
        digest.update(chunk)
    return digest.hexdigest()


def export_name(*, snapshot: DatasetSnapshot, format: str) -> str:
    """A file name from the project, the snapshot and the format, safe on every system."""
    suffix = ".parquet" if format == PARQUET else EXPORT_FORMATS[format].suffix
    stem = re.sub(r"[^\w.-]+", "-", f"{snapshot.project.slug}-{snapshot.name}-{format}", flags=re.ASCII)
    return stem.strip("-.") + suffix


def media_type(format: str) -> str:
    return "application/vnd.apache.parquet" if format == PARQUET else EXPORT_FORMATS[format].media_type


def check_format(format: str) -> None:
    if format not in FORMAT_NAMES:
        reason = f"Choose one of {', '.join(FORMAT_NAMES)}."
        raise Problem(f"There is no export format {format!r}.", errors=[FieldProblem("format", reason)])


def _file_chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk


def _in_chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Lines gathered into chunks: a chunk costs a system call and a thread switch when it is served."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= CHUNK_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
