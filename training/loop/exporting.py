"""The step that exports a round's snapshot into the artefact folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.conf import settings as django_settings

from annotation.datasets.exports import export_name, export_snapshot
from annotation.models import DatasetSnapshot
from config.problems import Problem
from storage import durable
from training.loop.run_steps import settings_of
from training.loop.settled import Settled, succeeded
from training.models import RoundStep

FOLDER = "exports"


def export_snapshot_of_round(step: RoundStep) -> Settled:
    """Export the snapshot in each format of the settings. A format that can't represent the snapshot is left
    out, and the step's outcome contains the reason. A repeated attempt replaces the files of the first."""
    snapshot = step.round.snapshot
    assert snapshot is not None
    exports = [_export(snapshot, format) for format in settings_of(step.round).export_formats]
    refused = [f"{one['format']}: {one['reason']}" for one in exports if one["reason"]]
    return succeeded(" ".join(refused), exports=exports)


def _export(snapshot: DatasetSnapshot, format: str) -> dict[str, Any]:
    folder = Path(django_settings.ARTEFACTS) / FOLDER / snapshot.project.slug
    path = folder / export_name(snapshot=snapshot, format=format)
    try:
        chunks = export_snapshot(snapshot=snapshot, format=format)
    except Problem as problem:
        return {"format": format, "file": "", "bytes": 0, "reason": problem.detail}
    durable.make_folders(folder)
    with durable.replacing(path) as partial, partial.open("wb") as stream:
        for chunk in chunks:
            stream.write(chunk)
    file = f"{FOLDER}/{snapshot.project.slug}/{path.name}"
    return {"format": format, "file": file, "bytes": path.stat().st_size, "reason": ""}
