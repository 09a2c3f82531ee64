"""The snapshot's file, byte for byte."""

from __future__ import annotations

from preferences.formats.export_format import ExportFormat

FORMAT = ExportFormat(
    name="parquet",
    title="The snapshot itself (Parquet)",
    use="An exact copy of the file that training reads; docs/formats.md explains its columns.",
    loses=frozenset(),
    example="one row per ranking",
    suffix=".parquet",
    media_type="application/vnd.apache.parquet",
    write=lambda snapshot, options: snapshot.raw(),
    imports_as="rankloop",
    options=(),
    loader="parquet",
)
