"""docs/formats.md matches the catalog."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from annotation.management.commands.document_formats import PAGE
from preferences.formats.catalog import EXPORT_FORMATS, IMPORT_FORMATS
from preferences.formats.document import document
from preferences.formats.snapshot_parquet import BEFORE, COLUMN_MEANINGS, SCHEMA, parquet_bytes, read_rankings


def test_formats_page_is_current() -> None:
    assert PAGE.read_text() == document(), "Run manage.py document_formats and commit docs/formats.md."


@pytest.mark.parametrize("name", EXPORT_FORMATS)
def test_every_export_documents_what_it_loses_and_its_import_format(name: str) -> None:
    known = EXPORT_FORMATS[name]
    assert known.losses.endswith((".", ")"))
    assert known.use
    assert known.imports_as in {"", *IMPORT_FORMATS}
    assert known.suffix.startswith(".")


def test_every_column_has_a_description_and_a_default_for_old_files() -> None:
    assert list(COLUMN_MEANINGS) == SCHEMA.names
    assert list(BEFORE) == SCHEMA.names[-len(BEFORE) :]


def test_old_snapshot_is_read_with_default_values(tmp_path: Path) -> None:
    old_response = pa.struct([("id", pa.string()), ("text", pa.string()), ("model", pa.string())])
    fields = [
        ("responses", pa.list_(old_response)) if field.name == "responses" else (field.name, field.type)
        for field in list(SCHEMA)[: -len(BEFORE)]
    ]
    row = {
        "ranking_id": "r",
        "responses": [{"id": "1", "text": "a", "model": ""}, {"id": "2", "text": "b", "model": ""}],
        "tiers": [[1], [0]],
        "ratings": json.dumps({}),
    }
    path = tmp_path / "old.parquet"
    path.write_bytes(b"".join(parquet_bytes([row], pa.schema(fields))))
    (read,) = read_rankings(path)
    assert {name: read[name] for name in BEFORE} == BEFORE
    assert read["responses"][0] == {"id": "1", "text": "a", "model": "", "sampling": "{}", "metadata": "{}"}
    (few,) = read_rankings(path, ("ranking_id", "unranked", "weight"))
    assert few == {"ranking_id": "r", "unranked": [], "weight": None}
