"""Every character of a string survives each container, and strings that can't be stored are refused."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from pytest_django import Settings

from annotation.content.importing.imports import import_file
from annotation.datasets.exports import export_snapshot
from annotation.datasets.snapshots import freeze_snapshot
from annotation.models import Prompt
from annotation.projects.projects import create_project
from tests.field_cases import case
from tests.preferences.formats.containers.files import comparison, comparisons, parquet, read, records

TEXTS = [
    "\u202eשלום\u202c",
    "e\u0301 \u00e9",
    "\U0001f469\u200d\U0001f467",
    "a\u2028b\u2029c\x85d\x0be\x0cf",
    "\ufeffinner\ufeff",
    "\ttab\r\nCRLF\rCR\n",
    "'=1+1",
    "\x01\x7f\u0080",
    " \u00a0 blank? ",
    "\U000e0041\uffff",
]


def test_every_text_is_read_unchanged_from_every_container() -> None:
    rows = [(f"{text} ?", text, f"other {number}") for number, text in enumerate(TEXTS)]
    header = ("prompt", "chosen", "rejected")
    objects = [dict(zip(header, row, strict=True)) for row in rows]
    sheet = io.StringIO(newline="")
    csv.writer(sheet, quoting=csv.QUOTE_ALL).writerows([header, *rows])
    table = dict(zip(header, map(list, zip(*rows, strict=True)), strict=True))
    plain, escaped = (
        "\n".join(json.dumps(item, ensure_ascii=ascii) for item in objects) for ascii in (False, True)
    )
    for data in (
        plain.encode(),
        plain.encode("utf-16"),
        escaped.encode(),
        json.dumps(objects).encode(),
        sheet.getvalue().encode(),
        sheet.getvalue().encode("utf-16"),
        parquet(group=3, **table),
    ):
        assert comparisons(data) == rows


@pytest.mark.django_db
@pytest.mark.parametrize("format", ["ranking", "csv", "parquet"])
def test_unicode_survives_an_export(format: str, settings: Settings, tmp_path: Path) -> None:
    settings.ARTEFACTS = tmp_path
    file = case("26-unicode-roundtrip") / "input.jsonl"
    expected = [json.loads(line) for line in file.read_text().split("\n") if line]
    project = create_project(slug="unicode")
    report = import_file(project=project, file=file)
    assert (report.read, report.failed, report.rankings) == (12, 0, 12)
    snapshot = freeze_snapshot(project=project, name="v1")
    data = b"".join(export_snapshot(snapshot=snapshot, format=format))
    assert {comparison(record) for record in records(data)} == {
        (row["prompt"], *row["responses"]) for row in expected
    }


@pytest.mark.django_db
def test_rows_that_cannot_be_stored_are_reported_and_others_are_imported() -> None:
    file = case("19-nul-and-surrogates") / "input.jsonl"
    assert {item.line: item.reason for item in read(file) if item.reason} == {
        2: "responses.0 contains a NUL character, which can't be stored",
        3: "responses.0 contains a lone surrogate or a byte that is not UTF-8, so it is not valid Unicode "
        "text",
        4: "annotator contains a NUL character, which can't be stored",
        5: "metadata.note.deep.0 contains a NUL character, which can't be stored",
    }
    report = import_file(project=create_project(slug="nul"), file=file)
    assert (report.read, report.failed, report.rankings) == (6, 4, 2)
    texts = [prompt.messages[0]["content"] for prompt in Prompt.objects.all()]
    assert sorted(texts) == ["p1", "p6"]
