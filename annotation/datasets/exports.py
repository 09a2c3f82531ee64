"""Exports a snapshot in another format; rows are converted while the snapshot is being read."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from annotation.datasets.snapshots import snapshot_path
from annotation.models import DatasetSnapshot
from config.problems import FieldProblem, Problem
from preferences.formats.catalog import EXPORT_FORMATS
from preferences.formats.export_format import CHUNK_BYTES, SPLIT, ExportRefused, SnapshotFile

PARQUET = "parquet"
FORMAT_NAMES = tuple(EXPORT_FORMATS)
MEDIA_TYPES = sorted({format.media_type for format in EXPORT_FORMATS.values()})
OPTIONS = {
    option.name: (option, option.meaning if option is SPLIT else f"For {known.name}: {option.meaning}.")
    for known in EXPORT_FORMATS.values()
    for option in known.options
}
"""Maps each option's name to the option and its description."""


def export_snapshot(
    *, snapshot: DatasetSnapshot, format: str, options: Mapping[str, str] | None = None
) -> Iterator[bytes]:
    """The export's bytes, in chunks. The same snapshot, format and options always give the same bytes.

    Raises Problem, always before the first byte, if the format is unknown or an option is invalid. Also
    raises Problem if the format can represent nothing in the snapshot, or if the snapshot's file is missing
    or damaged.
    """
    check_format(format)
    path = snapshot_path(snapshot)
    parsed = _check_export(snapshot, format, options or {})
    source = SnapshotFile(path, snapshot.card, parsed.pop(SPLIT.name, ""))
    return _in_chunks(EXPORT_FORMATS[format].write(source, parsed))


def refused_exports(snapshot: DatasetSnapshot) -> dict[str, str]:
    """Maps each format that can't export this snapshot without further options to the reason."""
    found = {}
    for name, known in EXPORT_FORMATS.items():
        try:
            known.check(snapshot.card, {})
        except ExportRefused as refusal:
            found[name] = str(refusal)
    return found


def export_name(*, snapshot: DatasetSnapshot, format: str) -> str:
    """A file name built from the project, the snapshot and the format, safe on every operating system."""
    stem = re.sub(r"[^\w.-]+", "-", f"{snapshot.project.slug}-{snapshot.name}-{format}", flags=re.ASCII)
    return stem.strip("-.") + EXPORT_FORMATS[format].suffix


def media_type(format: str) -> str:
    return EXPORT_FORMATS[format].media_type


def check_format(format: str) -> None:
    if format not in FORMAT_NAMES:
        reason = f"Choose one of {', '.join(FORMAT_NAMES)}."
        raise Problem(f"There is no export format {format!r}.", errors=[FieldProblem("format", reason)])


def _check_export(snapshot: DatasetSnapshot, format: str, options: Mapping[str, str]) -> dict[str, Any]:
    """The parsed options. Raises Problem when an option is invalid or the format can't represent the
    snapshot."""
    known = {option.name: option for option in EXPORT_FORMATS[format].options}
    parsed: dict[str, Any] = {}
    errors = []
    for name, text in options.items():
        if name not in known:
            reason = f"{format} has no such option; its options are: {', '.join(known) or 'none'}."
            errors.append(FieldProblem(name, reason))
            continue
        try:
            parsed[name] = known[name].parse(text)
        except ValueError:
            errors.append(
                FieldProblem(name, f"{text!r} is not a valid value for this option: {known[name].meaning}.")
            )
    if errors:
        raise Problem("The export's options are invalid.", errors=errors)
    try:
        EXPORT_FORMATS[format].check(snapshot.card, parsed)
    except ExportRefused as refusal:
        field = refusal.option or "format"
        raise Problem(
            str(refusal), type="export-refused", errors=[FieldProblem(field, str(refusal))]
        ) from refusal
    return parsed


def _in_chunks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Joins the pieces into larger chunks, because serving each chunk costs a system call and a thread
    switch."""
    held = bytearray()
    for piece in pieces:
        held += piece
        if len(held) >= CHUNK_BYTES:
            yield bytes(held)
            held.clear()
    if held:
        yield bytes(held)
