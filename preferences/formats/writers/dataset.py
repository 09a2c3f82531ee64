"""The snapshot's Parquet file with its card, as a dataset folder in a zip archive. The unpacked folder loads
with `datasets.load_dataset(FOLDER)` and can be pushed to a hub.

Files are stored, not deflated, because Parquet is already compressed. The file is streamed unchanged, so
memory use does not depend on the snapshot's size. The archive's timestamps are fixed, so equal snapshots
produce equal files.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator

from preferences.formats.dataset_card import readme
from preferences.formats.drain import Drain
from preferences.formats.export_format import ExportFormat, Options, SnapshotFile

THE_BEGINNING = (1980, 1, 1, 0, 0, 0)


def _write(snapshot: SnapshotFile, options: Options) -> Iterator[bytes]:
    sink = Drain()
    card = json.dumps(snapshot.card, indent=2, ensure_ascii=False) + "\n"
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr(_named("README.md"), readme(snapshot.card))
        archive.writestr(_named("card.json"), card)
        with archive.open(_named(snapshot.card["file"]), "w", force_zip64=True) as member:
            for chunk in snapshot.raw():
                member.write(chunk)
                yield sink.drain()
    yield sink.drain()


def _named(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, THE_BEGINNING)
    entry.external_attr = 0o644 << 16
    return entry


FORMAT = ExportFormat(
    name="dataset",
    title="The snapshot with its dataset card (zip of README.md, card.json and Parquet)",
    use="For publishing: once unpacked, the folder loads with `datasets` and can be pushed to a hub.",
    loses=frozenset(),
    example="README.md, card.json, rankings.parquet",
    suffix=".zip",
    media_type="application/zip",
    write=_write,
    options=(),
    loader="",
    imports_as="rankloop",
)
